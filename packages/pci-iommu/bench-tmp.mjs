import { Machine } from '@dmabuf-emu/shm';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
const checks = process.argv[2] !== 'nochecks';
const machine = Machine.create({ arenaBytes: 256<<20, memoryBytes: 256<<20, lockdep:false, debugObjects:false });
const pci = PciSystem.create(machine, { topology: 'genoa-4gpu', checks });
const fn = pci.functions.find(f => f.kind.endsWith('endpoint') && f.bars.length);
const d = fn.iommu; const RW = 3;
const t = (name, n, f) => { f(n/10|0); let best=Infinity; for (let r=0;r<5;r++){ const s=process.hrtime.bigint(); f(n); const e=Number(process.hrtime.bigint()-s)/n; if(e<best)best=e;} console.log(name.padEnd(40), best.toFixed(2),'ns'); };
const P=4096; const base = 0x7f0000000000; const ram = pci.memory.allocPages(P);
for (let i=0;i<P;i++) d.map(base+i*4096, ram+((i*7919)%P)*4096, 4096, RW);
let x=1; const rnd=new Float64Array(65536); for(let i=0;i<65536;i++){x=(Math.imul(x,1664525)+1013904223)|0; rnd[i]=base/4096+(x>>>8)%P;}
let sink=0;
t('walk random 4096 pages', 1e6, n=>{let s=0; for(let i=0;i<n;i++) s^=d.walk(rnd[i&65535]); sink^=s;});
t('translate (iotlb misses)', 1e6, n=>{let s=0; for(let i=0;i<n;i++) s^=d.translate(rnd[i&65535],checks); sink^=s;});
const hot = Float64Array.from({length:64},(_,i)=>base/4096+i);
t('translate (iotlb hits)', 1e6, n=>{let s=0; for(let i=0;i<n;i++) s^=d.translate(hot[i&63],checks); sink^=s;});
const live=new Float64Array(4096); for(let i=0;i<4096;i++) live[i]=d.iovaAlloc(4096,2**32-1);
t('iova alloc+free 1 page, 4096 live', 1e6, n=>{for(let i=0;i<n;i++){ x=(Math.imul(x,1664525)+1013904223)|0; const k=(x>>>8)&4095; d.iovaFree(live[k],4096); live[k]=d.iovaAlloc(4096,2**32-1);} });
for(let i=0;i<4096;i++) d.iovaFree(live[i],4096);
const mb = 0x100000000000;
for (const b of [1,16,256]) t(`map+unmap batch ${b} (per page)`, b*8000, n=>{ for(let i=0;i<n/b;i++){ d.map(mb+4096,ram,b*4096,RW); d.unmap(mb+4096,b*4096);} });
const buf = machine.root('bench.buf', 1<<18)*4; const src=base, dst=base+2048*4096;
for (const [name,len,n] of [['4K',4096,200000],['64K',65536,30000],['1M',1<<20,2000]]) {
  t('mem.copy only '+name, n, c=>{ for(let i=0;i<c;i++) machine.mem.copy(buf, machine.memoryBase+(1<<20), len); });
  t('dma.readInto '+name, n, c=>{ for(let i=0;i<c;i++) fn.dma.readInto(src, buf, len); });
  t('dma.copy random pages '+name, n, c=>{ for(let i=0;i<c;i++) fn.dma.copy(dst, src, len); });
}
t('writePattern 64K', 5000, c=>{ for(let i=0;i<c;i++) fn.dma.writePattern(src, 65536, {owner:1,epoch:i,offset:0}); });
t('checkPattern 64K', 5000, c=>{ fn.dma.writePattern(src,65536,{owner:1,epoch:1,offset:0}); for(let i=0;i<c;i++) fn.dma.checkPattern(src, 65536, {owner:1,epoch:1,offset:0}); });
