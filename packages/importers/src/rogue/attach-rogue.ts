import type { DmaSession } from '../session/dma-session.ts';
import { doubleUnmapImporter } from './double-unmap.ts';
import { IgnoresInvalidateSession } from './ignores-invalidate.ts';
import { NeverSignalsSession } from './never-signals.ts';
import { NeverUnmapsSession } from './never-unmaps.ts';
import type { RogueKind } from './rogue-kind.ts';
import { RogueOdpSession, type RogueParts } from './rogue-odp-session.ts';
import { SignalsTwiceSession } from './signals-twice.ts';
import { SkipsLockSession } from './skips-lock.ts';
import { UnmapsLateSession } from './unmaps-late.ts';
import { UsesStaleAddressSession } from './uses-stale-address.ts';
import { WritesAfterFenceSession } from './writes-after-fence.ts';

/** The session of a rogue. @throws KernelError when it is refused */
export function attachRogue(kind: RogueKind, parts: RogueParts): DmaSession {
  switch (kind) {
    case 'ignores-invalidate':
      return new IgnoresInvalidateSession(parts);
    case 'unmaps-late':
      return new UnmapsLateSession(parts);
    case 'never-unmaps':
      return new NeverUnmapsSession(parts);
    case 'writes-after-fence':
      return new WritesAfterFenceSession(parts);
    case 'uses-stale-address':
      return new UsesStaleAddressSession(parts);
    case 'double-unmap':
      return new RogueOdpSession(parts, doubleUnmapImporter);
    case 'skips-lock':
      return new SkipsLockSession(parts);
    case 'never-signals':
      return new NeverSignalsSession(parts);
    case 'signals-twice':
      return new SignalsTwiceSession(parts);
  }
}
