/**
 * Vendor ids by the name that `lspci` prints for them. A name stands for one id only, so reading it back is not a guess;
 * names that are not here leave the id unknown.
 */
const VENDORS: readonly (readonly [name: string, id: number])[] = [
  ['Advanced Micro Devices, Inc. [AMD/ATI]', 0x1002],
  ['Advanced Micro Devices, Inc. [AMD]', 0x1022],
  ['Hygon Information Technology Co., Ltd.', 0x1d94],
  ['ARM', 0x13b5],
  ['ASMedia Technology Inc.', 0x1b21],
  ['ASPEED Technology, Inc.', 0x1a03],
  ['Broadcom / LSI', 0x1000],
  ['Broadcom Inc. and subsidiaries', 0x14e4],
  ['HighPoint Technologies, Inc.', 0x1103],
  ['Intel Corporation', 0x8086],
  ['Matrox Electronics Systems Ltd.', 0x102b],
  ['Mellanox Technologies', 0x15b3],
  ['NVIDIA Corporation', 0x10de],
  ['PLDA', 0x1556],
  ['PLX Technology, Inc.', 0x10b5],
  ['Qualcomm Atheros', 0x168c],
  ['Realtek Semiconductor Co., Ltd.', 0x10ec],
  ['Samsung Electronics Co Ltd', 0x144d],
  ['Xilinx Corporation', 0x10ee],
];

/** The vendor whose name starts `text`, or `null`. */
export function vendorOfName(text: string): number | null {
  const found = VENDORS.find(([name]) => text === name || text.startsWith(`${name} `));
  return found === undefined ? null : found[1];
}
