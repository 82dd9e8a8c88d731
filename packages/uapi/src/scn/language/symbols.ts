/** `NAME value` pairs, by what they are flags of. */
const TABLE = `
open         RDONLY 0  WRONLY 1  RDWR 2  APPEND 0x400  NONBLOCK 0x800  CLOEXEC 0x80000
sync         READ 1  WRITE 2  START 0  END 4
seals        SEAL 1  SHRINK 2  GROW 4  SEALWRITE 8  FUTURE_WRITE 16
memfd        MFD_CLOEXEC 1  MFD_SEALING 2  MFD_HUGETLB 4
protection   PROT_NONE 0  PROT_READ 1  PROT_WRITE 2  PROT_EXEC 4
mapping      MAP_SHARED 1  MAP_PRIVATE 2  MAP_ANONYMOUS 0x20  MAP_POPULATE 0x8000
seek         SEEK_SET 0  SEEK_CUR 1  SEEK_END 2  SEEK_DATA 3  SEEK_HOLE 4
poll         IN 1  PRI 2  OUT 4  ERR 8  HUP 16  ONESHOT 0x40000000  ET 0x80000000
udmabuf      UDMABUF_CLOEXEC 1
vgem         VGEM_WRITE 1
iommufd      MAP_FIXED_IOVA 1  MAP_WRITEABLE 2  MAP_READABLE 4
vfio         FEATURE_GET 0x10000  FEATURE_SET 0x20000  FEATURE_PROBE 0x40000
syncobj      WAIT_ALL 1  WAIT_FOR_SUBMIT 2  WAIT_AVAILABLE 4  SYNCOBJ_SIGNALED 1  SYNCOBJ_SYNC_FILE 1
limits       PAGE 4096  INTMAX 0x7fffffff  U32MAX 0xffffffff  U64MAX 0xffffffffffffffff
`;

/** Names that a number in a scenario may be written with. */
export const SYMBOLS: ReadonlyMap<string, bigint> = new Map(
  [...TABLE.matchAll(/([A-Z][A-Z0-9_]*) (0x[0-9a-f]+|\d+)/g)].map(([, name, value]) => [name!, BigInt(value!)]),
);
