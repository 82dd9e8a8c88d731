import type { P2pHop } from './p2p-path.ts';
import type { P2pSetup, P2pVerdict } from './p2p-setup.ts';

const ORDER: readonly P2pVerdict[] = ['NOT_SUPPORTED', 'THRU_HOST_BRIDGE', 'BUS_ADDR'];

/**
 * Changes to how a kernel is started that give a better verdict; each is tried with `judge` before it is proposed.
 *
 * @param now - the verdict, and the way that it is about
 */
export function findRemedies(
  now: { readonly type: P2pVerdict; readonly path: readonly P2pHop[] },
  setup: P2pSetup,
  judge: (changed: P2pSetup) => P2pVerdict,
): readonly string[] {
  const found: string[] = [];
  const attempt = (text: string, changed: P2pSetup): boolean => {
    const then = judge(changed);
    const better = ORDER.indexOf(then) > Math.max(ORDER.indexOf(now.type), 0);
    if (better) found.push(`${text} gives ${then}`);
    return better;
  };
  const ports = now.path.filter(({ decides }) => decides).map((hop) => hop.function.bdf);
  if (ports.length > 0) {
    const disableAcsRedir = [...(setup.disableAcsRedir ?? []), ...ports];
    const { configAcs: _overruled, ...others } = setup;
    const instead = setup.configAcs === undefined ? '' : ' instead of config_acs';
    attempt(`pci=disable_acs_redir=${ports.join(';')}${instead}`, { ...others, disableAcsRedir });
  }
  const off = 'no IOMMU (intel_iommu=off or amd_iommu=off)';
  if (setup.iommu && !attempt(off, { ...setup, iommu: false })) {
    attempt(`${off}, where firmware leaves ACS off,`, { ...setup, iommu: false, firmware: 'off' });
  }
  if (setup.whitelist !== undefined) {
    const { whitelist: _old, ...others } = setup;
    attempt('a kernel with the newest list of host bridges', others);
  }
  return found;
}
