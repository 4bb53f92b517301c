// Whether modules do the same admitted as they came: node same.mjs FOLDER COUNT, which holds N.raw.wasm
// and N.admitted.wasm. Compares how each pair ends and every byte of its memory; those that run out of
// fuel or stack only in their admitted form have nothing to compare with.
import { readFileSync } from 'node:fs';

const [folder, count] = process.argv.slice(2);
let compared = 0, stopped = 0, trapped = 0;
for (let i = 0; i < count; i++) {
  const run = (path, fuel) => {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)), {});
    if (fuel) exports.spatter_fuel.value = fuel;
    let end = 'end';
    try { exports._start(); } catch (error) { end = error.message; }
    if (fuel && (exports.spatter_fuel.value < 0n || exports.spatter_stack.value < 0)) end = 'stopped';
    return { end, memory: Buffer.from(exports.memory.buffer) };
  };
  const admitted = run(`${folder}/${i}.admitted.wasm`, 200000n);
  if (admitted.end === 'stopped' || admitted.end.startsWith('Maximum call stack')) {
    stopped++;
    continue;
  }
  const raw = run(`${folder}/${i}.raw.wasm`);
  if (raw.end !== admitted.end || !raw.memory.equals(admitted.memory)) {
    console.log(`module ${i} differs: ${raw.end} | ${admitted.end}`);
    process.exit(1);
  }
  compared++;
  if (raw.end !== 'end') trapped++;
}
console.log(JSON.stringify({ compared, stopped, trapped }));
