export { freeSgt } from './free-sgt.ts';
export { type PhysLocator, physInterconnect, registerPhysInterconnect } from './phys-interconnect.ts';
export { type PhysVec, physVecToSgt } from './phys-vec-to-sgt.ts';
export { MAPPING_QUIRKS, type MappingQuirk, mappingQuirk } from './quirks.ts';
