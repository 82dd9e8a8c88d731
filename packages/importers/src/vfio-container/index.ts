export { type DmaMap, IOMMU_MODES, type IommuMode, VfioContainer } from './vfio-container.ts';
