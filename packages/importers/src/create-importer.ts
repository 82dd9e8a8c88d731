import type { Device, DmaBuf } from '@dmabuf-emu/core';
import type { PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import { type Machine, type Random, UsageError } from '@dmabuf-emu/shm';
import { GpuSession } from './gpu/gpu-session.ts';
import { ringsOf } from './gpu/gpu-ring.ts';
import { iommufdDevice, IommufdSession } from './iommufd/iommufd-session.ts';
import { OdpSession } from './odp/odp-session.ts';
import { PinnedSession } from './pinned/pinned-session.ts';
import { registerImporters } from './register.ts';
import { RevocablePinnedSession } from './revocable-pinned/revocable-pinned-session.ts';
import { attachRogue } from './rogue/attach-rogue.ts';
import { ROGUE_KINDS, type RogueKind } from './rogue/rogue-kind.ts';
import { SessionTools } from './session/session-tools.ts';
import { type Importer, IMPORTER_KINDS, type ImporterKind, type Session, type Slice } from './session/session.ts';
import { StaticSession } from './static/static-session.ts';

/** What an importer is made of. */
export interface ImporterOptions {
  readonly machine: Machine;
  readonly pci: PciSystem;
  /** The PCI function whose DMA engine the calling thread plays. */
  readonly fn: PciFunction;
  /** Decides what the engine does; the same seed, the same work. */
  readonly random: Random;
  /** Name of the importer, for reports. */
  readonly name: string;
  /** Which rule a rogue breaks; chosen by `random` when left out. */
  readonly rogue?: RogueKind;
}

type Attach = (dmabuf: DmaBuf, slice: Slice) => Session;

/**
 * An importer of the given kind, in the thread that runs its engine.
 * @throws UsageError for a kind that there is not
 * @throws KernelError ENOMEM
 */
export function createImporter(kind: ImporterKind, options: ImporterOptions): Importer {
  const { machine, pci, fn, random, name } = options;
  registerImporters(machine);
  const device = kind === 'iommufd' ? iommufdDevice(machine) : fn.device;
  const attach = attachOf(kind, options, new SessionTools(machine, pci, fn, random, name), device);
  return {
    kind,
    name,
    device,
    attach(dmabuf, slice) {
      const { index, count } = slice;
      if (!(Number.isInteger(index) && index >= 0 && Number.isInteger(count) && index < count)) {
        throw new UsageError(`a slice is one of count parts, from 0: got ${index} of ${count}`);
      }
      return attach(dmabuf, slice);
    },
  };
}

function attachOf(kind: ImporterKind, options: ImporterOptions, tools: SessionTools, device: Device): Attach {
  switch (kind) {
    case 'odp':
      return (dmabuf, slice) => OdpSession.attach(dmabuf, device, tools, slice);
    case 'revocable-pinned':
      return (dmabuf, slice) => RevocablePinnedSession.attach(dmabuf, device, tools, slice);
    case 'pinned':
      return (dmabuf, slice) => PinnedSession.attach(dmabuf, device, tools, slice);
    case 'iommufd':
      return (dmabuf, slice) => IommufdSession.attach(dmabuf, device, tools, slice);
    case 'gpu': {
      const rings = ringsOf(options.machine);
      return (dmabuf, slice) => GpuSession.attach(dmabuf, device, tools, rings, slice);
    }
    case 'static':
      return (dmabuf, slice) => StaticSession.attach(dmabuf, device, tools, slice);
    case 'rogue': {
      const rogue = options.rogue ?? options.random.pick(ROGUE_KINDS);
      if (!ROGUE_KINDS.includes(rogue))
        throw new UsageError(`a rogue is one of ${ROGUE_KINDS.join(', ')}, got ${rogue as string}`);
      return (dmabuf, slice) => attachRogue(rogue, { dmabuf, device, tools, slice });
    }
    default:
      throw new UsageError(`an importer is one of ${IMPORTER_KINDS.join(', ')}, got ${String(kind satisfies never)}`);
  }
}
