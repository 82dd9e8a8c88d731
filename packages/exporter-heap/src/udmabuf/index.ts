export { type U64, type UdmabufItem } from './check-request.ts';
export {
  createUdmabuf,
  createUdmabufList,
  exportUdmabuf,
  UDMABUF_FLAGS_CLOEXEC,
  type UdmabufListRequest,
} from './create.ts';
export { udmabufDriver } from './exporter-ops.ts';
export { type UdmabufParameters, udmabufParameters } from './parameters.ts';
export { prepareUdmabuf } from './prepare.ts';
