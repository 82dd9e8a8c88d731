// What is known of the machines whose listings are read: facts in our own words, no text of the listings.
//
// groups: 'listed' when the file itself lists IOMMU groups, { listing } when another file does, { gone, because } when it lists
// functions that the machine no longer had, { unknown: true } when it does not tell ACS, so that groups may rest on that,
// { none } saying why there is nothing to compare with.
// verdicts: what was observed, with which options the same is asked here, and the answers: [memory of, reached by, type].
// `across` stands for every pair of functions below different host bridges, `distances` compares hops only, `near` the words of
// nvidia-smi; `shared` lists devices with a bridge in common. `withoutHostBridges` asks a kernel whose list lacks these.

const ZEN = ['--cpu', 'AMD:0x19'];

/** Every ordered pair of these functions. */
function among(devices, type, distance) {
  return devices.flatMap((a) => devices.filter((b) => b !== a).map((b) => [a, b, type, distance]));
}

/** Both directions between functions of two lists. */
function between(left, right, type, distance) {
  return left.flatMap((a) =>
    right.flatMap((b) => [
      [a, b, type, distance],
      [b, a, type, distance],
    ]),
  );
}

const GENOA = {
  gpus: [
    ['0000:01:00.0', '0000:41:00.0'],
    ['0000:c1:00.0', '0000:e1:00.0'],
  ],
  nics: [
    ['0000:21:00.0', '0000:21:00.1'],
    ['0000:81:00.0', '0000:81:00.1'],
  ],
  disks: ['65', '66', '67', '68', '6b', '6c', '6d', '6e', 'a5', 'a6', 'a7', 'a8', 'ab', 'ac', 'ad', 'ae'].map(
    (bus) => `0000:${bus}:00.0`,
  ),
};

const UNPRIVILEGED = 'no IOMMU group in the listing';
const SINGLE = 'single functions, not a whole machine';

export const FILES = [
  { file: 'pci/amd-renoir-asus-pn51.lspci-vvv.txt', groups: 'listed' },
  {
    file: 'pci/intel-kabylake-microtca-pex8748.report.txt',
    groups: {
      gone: ['0000:01:00.1', '0000:01:00.2', '0000:01:00.3', '0000:01:00.4', '0000:0a:00.0'],
      because: 'those of the boot, and of the module that was plugged in later',
    },
  },
  { file: 'pci/intel-coffeelake-h-hp-laptop-optane.lspci-vvv.txt', groups: 'listed' },
  { file: 'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nntv.txt', groups: { none: 'a drawing: ACS is not told' } },
  {
    file: 'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt',
    groups: { listing: 'pci/amd-threadripperpro-wrx80-2xa6000.dmesg-iommu.txt' },
    verdicts: [
      {
        what: 'AMD Zen forwards between any two root ports',
        args: ['--cpu', 'AMD:0x19'],
        across: 'THRU_HOST_BRIDGE',
      },
    ],
  },
  { file: 'pci/amd-threadripperpro-wrx80-2xa6000.dmesg-iommu.txt', groups: { unknown: true } },
  {
    file: 'pci/arm-neoverse-n1sdp-pex8749.lspci-vvvxxx.txt',
    groups: { none: UNPRIVILEGED },
    verdicts: [{ what: 'no Arm host bridge is on the list of the kernel', across: 'NOT_SUPPORTED' }],
  },
  {
    file: 'pci/intel-x99-kernel5.9-iommu-groups-regression.txt',
    groups: { none: 'lists of two kernels, ACS of three functions' },
  },
  { file: 'pci/intel-lenovo-tb3-egpu-2x3090.lspci-v.txt', groups: 'listed' },
  { file: 'pci/intel-lenovo-tb3-egpu-2x3090.lspci-tv.txt', groups: { none: 'a drawing: ACS is not told' } },
  {
    file: 'pci/intel-icelake-sp-2s-dell-connectx5.lspci-vvv.txt',
    groups: { none: UNPRIVILEGED },
    verdicts: [
      {
        what: 'NIC and RAID controller of two host bridges 8086:09a2',
        pairs: between(['0000:4b:00.0'], ['0000:65:00.0'], 'THRU_HOST_BRIDGE'),
      },
    ],
  },
  {
    file: 'pci/amd-genoa-2s-asus-esc8000a-rtx6000ada-cx7.lspci-tv.md',
    groups: { none: 'IOMMU off: the listing has none' },
    verdicts: [
      {
        what: 'nvidia-smi: PIX between the ports of a NIC',
        near: GENOA.nics.flatMap((pair) => among(pair, 'PIX')),
      },
      {
        what: 'nvidia-smi: NODE within a socket',
        near: [
          ...GENOA.gpus.flatMap((pair) => among(pair, 'NODE')),
          ...GENOA.gpus.flatMap((pair, node) => between(pair, GENOA.nics[node], 'NODE')),
        ],
      },
      {
        what: 'nvidia-smi: SYS between sockets',
        near: between([...GENOA.gpus[0], ...GENOA.nics[0]], [...GENOA.gpus[1], ...GENOA.nics[1]], 'SYS'),
      },
      {
        what: 'ports of a NIC, every ACS control word of the report is off',
        args: ['--acs-override', ['20:03.1', '21:00.1', '80:01.1', '81:00.1'].map((bdf) => `${bdf}=off`).join(',')],
        pairs: GENOA.nics.flatMap((pair) => among(pair, 'BUS_ADDR', 2)),
      },
      {
        what: 'GPUs and NICs across host bridges of an AMD Zen',
        args: ZEN,
        pairs: [
          ...GENOA.gpus.flatMap((pair) => among(pair, 'THRU_HOST_BRIDGE')),
          ...between(GENOA.gpus.flat(), GENOA.nics.flat(), 'THRU_HOST_BRIDGE'),
        ],
      },
      {
        what: 'GPUDirect Storage transfers between disks and every GPU',
        args: ZEN,
        pairs: GENOA.gpus.flat().flatMap((gpu) => GENOA.disks.map((disk) => [gpu, disk, 'THRU_HOST_BRIDGE'])),
      },
    ],
  },
  { file: 'pci/intel-2s-hwloc-pcilocality.sysfs.tar.gz', groups: { none: 'the snapshot has no group links' } },
  {
    file: 'pci/intel-2s-nec-aurora-8ve-plx.sysfs.tar.gz',
    groups: { none: 'the snapshot has no group links' },
    verdicts: [
      {
        what: 'four vector engines and a NIC share a switch, twice',
        distances: [
          ...among(['0000:1a:00.0', '0000:1b:00.0', '0000:1c:00.0', '0000:1d:00.0', '0000:1e:00.0'], null, 4),
          ...among(['0000:3d:00.0', '0000:3e:00.0', '0000:3f:00.0', '0000:40:00.0', '0000:41:00.0'], null, 4),
        ],
      },
    ],
  },
  { file: 'pci/amd-raphael-x670e-asus.iommu-groups.txt', groups: { unknown: true } },
  { file: 'pci/intel-cometlake-u-dell-laptop.lspci-vv.txt', groups: 'listed' },
  { file: 'pci/intel-h61-desktop.lspci-nnvvvxxxx.txt', groups: { none: UNPRIVILEGED } },
  { file: 'pci/amd-carrizo-hp-laptop.lspci-vvv.txt', groups: 'listed' },
  { file: 'pci/intel-laptop-hotplug-before.lspci.txt', groups: { none: UNPRIVILEGED } },
  {
    file: 'pci/nccl-topo.azure-ndv4-8xa100-8xcx6.xml',
    groups: { none: 'NCCL keeps no groups' },
    verdicts: [
      {
        what: 'two GPUs and two NICs share a switch, four times',
        shared: [
          ['0003:00:00.0', '0103:00:00.0', '0004:00:00.0', '0104:00:00.0'],
          ['0001:00:00.0', '0101:00:00.0', '0002:00:00.0', '0102:00:00.0'],
          ['000d:00:00.0', '0107:00:00.0', '000e:00:00.0', '0108:00:00.0'],
          ['000b:00:00.0', '0105:00:00.0', '000c:00:00.0', '0106:00:00.0'],
        ],
      },
    ],
  },
  {
    file: 'pci/nccl-topo.aws-p4d-8xa100-4xefa.xml',
    groups: { none: 'NCCL keeps no groups' },
    verdicts: [
      {
        what: 'two GPUs and a NIC share a switch, four times',
        shared: ['10', '20', '90', 'a0'].map((bus) => ['1c', '1d', '1b'].map((slot) => `0000:${bus}:${slot}.0`)),
      },
    ],
  },
  {
    file: 'pci/nccl-topo.rccl-8p-rome-n4.xml',
    groups: { none: 'NCCL keeps no groups' },
    verdicts: [
      {
        what: 'every GPU has a root port of its own',
        shared: ['43', '23', '26', '03', 'c3', 'c6', 'a3', '83'].map((bus) => [`0000:${bus}:00.0`]),
      },
    ],
  },
  {
    file: 'pci/p2p-verdict.arc-b70.plx-acs-on-off.txt',
    machine: 'machines/arc-b70.json',
    groups: { none: 'a report of verdicts' },
    verdicts: [
      {
        what: 'kernel 7.0, ACS redirect on',
        args: ['--acs-override', ['0d:01.0', '0b:00.0', '11:01.0', '0b:10.0'].map((bdf) => `${bdf}=0c`).join(',')],
        pairs: between(['0000:0e:00.0'], ['0000:12:00.0'], 'NOT_SUPPORTED', 8),
      },
      {
        what: 'kernel 7.0, ACS redirect off',
        args: ['--acs-override', ['0d:01.0', '0b:00.0', '11:01.0', '0b:10.0'].map((bdf) => `${bdf}=0`).join(',')],
        pairs: between(['0000:0e:00.0'], ['0000:12:00.0'], 'BUS_ADDR', 8),
      },
    ],
  },
  {
    file: 'pci/p2p-verdict.icelake-sp-amd-gpus.txt',
    machine: 'machines/icelake-sp-amd-gpus.json',
    groups: { none: 'a report of verdicts' },
    verdicts: [
      {
        what: 'kernel 5.14, whose list of host bridges has no 8086:09a2',
        withoutHostBridges: ['8086:09a2'],
        pairs: [['0000:19:00.0', '0000:67:00.0', 'NOT_SUPPORTED']],
      },
      { what: 'kernel 7.1, whose list has it', pairs: [['0000:19:00.0', '0000:67:00.0', 'THRU_HOST_BRIDGE']] },
    ],
  },
  { file: 'config/mellanox-connectx3pro-and-haswell-ep-rootport.lspci-vvvxxxx.txt', groups: { none: SINGLE } },
  { file: 'config/plx-pex8796-switch-upstream.lspci-vvvxxxx.txt', groups: { none: SINGLE } },
  { file: 'config/nvme-samsung-pm174x.lspci-vvvxxxx.txt', groups: { none: SINGLE } },
  { file: 'config/intel-sunrisepoint-rootport-acs.lspci-vvvxxxx.txt', groups: { none: SINGLE } },
  { file: 'config/intel-skylake-igpu-ats-pri-pasid.lspci-vvvxxxx.txt', groups: { none: SINGLE } },
  { file: 'config/plx-pex8749-switch-ports.lspci-vvvxxx.txt', groups: { none: SINGLE } },
  { file: 'config/amd-radeon-pro-wx3100-and-rootport.lspci-vvvxxx.txt', groups: { none: SINGLE } },
  { file: 'config/intel-x99-rootports-acs-quirk.lspci-vvvv-xxxx.txt', groups: { none: SINGLE } },
  { file: 'config/mellanox-connectx5ex-sriov-flr.lspci-vv-xxx.txt', groups: { none: SINGLE } },
];
