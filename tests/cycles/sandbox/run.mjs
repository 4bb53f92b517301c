// The host of src/cycles/sandbox/inside/piece.c once more, for an engine that knows nothing of the
// translator's: Node.js. For tests only.
//   node run.mjs MODULE.wasm FUEL MEMORY_PAGES OUTPUT_BYTES SEED OUTPUT [ARGUMENT...] < input
// The module's output goes to the file OUTPUT; a line of JSON says how it ended:
//   {"end": "exited", "code": 0, "fuel": "123"}
import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const ok = 0, badf = 8, fault = 21, inval = 28, notdir = 54, notsup = 58, spipe = 70;
const callCost = 200n;

class Ended extends Error {
  constructor(end, code = 0) { super(end); Object.assign(this, { end, code }); }
}

function host({ args, input, seed, outputMax }) {
  const output = [];
  let exports, position = 0, written = 0, random = BigInt(seed), looks = 0n;
  const host = { left: 0n };
  const memory = () => exports.memory.buffer;
  const view = () => new DataView(memory());
  const inside = (at, length) => at + length <= memory().byteLength;
  const charge = cost => {
    const left = exports.spatter_fuel.value;
    if (left < 0n || left < cost) throw new Ended('out of fuel');
    host.left = exports.spatter_fuel.value = left - cost;
  };
  const free = call => (...args) => { charge(0n); return call(...args.map(a => typeof a === 'number' ? a >>> 0 : a)); };
  const words = length => BigInt(Math.ceil(length / 8));
  const strings = ['program', ...args].map(a => Buffer.from(a + '\0'));
  const bytes = strings.reduce((sum, one) => sum + one.length, 0);
  const open = fd => fd <= 2;

  const transfer = (list, count, done, each) => {
    if (count > 1024) return inval;
    if (!inside(list, 8 * count) || !inside(done, 4)) return fault;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const at = view().getUint32(list + 8 * i, true), length = view().getUint32(list + 8 * i + 4, true);
      if (!inside(at, length)) return fault;
      if (length > 0xffffffff - total) return inval;
      charge(words(length));
      const n = each(new Uint8Array(memory(), at, length));
      total += n;
      if (n < length) break;
    }
    view().setUint32(done, total, true);
    return ok;
  };
  const calls = {
    args_sizes_get(count, size) {
      if (!inside(count, 4) || !inside(size, 4)) return fault;
      view().setUint32(count, strings.length, true);
      view().setUint32(size, bytes, true);
      return ok;
    },
    args_get(pointers, text) {
      charge(BigInt(strings.length + Math.floor(bytes / 8)));
      if (!inside(pointers, 4 * strings.length) || !inside(text, bytes)) return fault;
      strings.forEach((one, i) => {
        view().setUint32(pointers + 4 * i, text, true);
        new Uint8Array(memory(), text, one.length).set(one);
        text += one.length;
      });
      return ok;
    },
    environ_sizes_get(count, size) {
      if (!inside(count, 4) || !inside(size, 4)) return fault;
      view().setUint32(count, 0, true);
      view().setUint32(size, 0, true);
      return ok;
    },
    environ_get: () => ok,
    fd_read(fd, list, count, done) {
      charge(callCost);
      if (fd !== 0) return badf;
      return transfer(list, count, done, part => {
        const some = input.subarray(position, position + part.length);
        part.set(some);
        position += some.length;
        return some.length;
      });
    },
    fd_write(fd, list, count, done) {
      charge(callCost);
      if (fd !== 1 && fd !== 2) return badf;
      return transfer(list, count, done, part => {
        if (fd === 2) return part.length;
        if (part.length > outputMax - written) throw new Ended('output too large');
        output.push(Buffer.from(part));
        written += part.length;
        return part.length;
      });
    },
    fd_close: fd => (open(fd) ? ok : badf),
    fd_seek: fd => (open(fd) ? spipe : badf),
    fd_tell: fd => (open(fd) ? spipe : badf),
    fd_fdstat_get(fd, to) {
      if (!open(fd)) return badf;
      if (!inside(to, 24)) return fault;
      new Uint8Array(memory(), to, 24).fill(0);
      view().setUint8(to, 4);
      view().setBigUint64(to + 8, fd === 0 ? 2n : 64n, true);
      return ok;
    },
    fd_fdstat_set_flags: fd => (open(fd) ? notsup : badf),
    fd_filestat_get(fd, to) {
      if (!open(fd)) return badf;
      if (!inside(to, 64)) return fault;
      new Uint8Array(memory(), to, 64).fill(0);
      view().setUint8(to + 16, 4);
      return ok;
    },
    fd_prestat_get: () => badf,
    fd_prestat_dir_name: () => badf,
    path_open: fd => (open(fd) ? notdir : badf),
    proc_exit(code) { throw new Ended('exited', code); },
    clock_time_get(clock, precision, to) {
      if (clock > 3) return inval;
      if (!inside(to, 8)) return fault;
      view().setBigUint64(to, (clock === 0 ? 1577836800000000000n : 0n) + 1000000n * ++looks, true);
      return ok;
    },
    clock_res_get(clock, to) {
      if (clock > 3) return inval;
      if (!inside(to, 8)) return fault;
      view().setBigUint64(to, 1000000n, true);
      return ok;
    },
    random_get(to, length) {
      charge(4n * words(length));
      if (!inside(to, length)) return fault;
      const word = Buffer.alloc(8);
      for (let at = 0; at < length; at += 8) {
        random = BigInt.asUintN(64, random + 0x9e3779b97f4a7c15n);
        let z = random;
        z = BigInt.asUintN(64, (z ^ z >> 30n) * 0xbf58476d1ce4e5b9n);
        z = BigInt.asUintN(64, (z ^ z >> 27n) * 0x94d049bb133111ebn);
        word.writeBigUInt64LE(z ^ z >> 31n);
        new Uint8Array(memory(), to + at, Math.min(8, length - at)).set(word.subarray(0, Math.min(8, length - at)));
      }
      return ok;
    },
    poll_oneoff: () => notsup,
    sched_yield: () => ok,
  };
  host.calls = Object.fromEntries(Object.entries(calls).map(([name, call]) => [name, free(call)]));
  host.output = output;
  host.use = all => { exports = all; };
  host.charge = charge;
  return host;
}

if (isMainThread) {
  const [path, fuel, pages, outputMax, seed, output, ...args] = process.argv.slice(2);
  // A module may recurse as deep as its own rule lets it, which is more than Node's stack as it comes.
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { module: readFileSync(path), fuel, pages: +pages, outputMax: +outputMax, seed, args, input: readFileSync(0) },
    resourceLimits: { stackSizeMb: 900 },
  });
  worker.on('message', ({ report, bytes }) => {
    writeFileSync(output, bytes);
    writeSync(1, JSON.stringify(report) + '\n');
  });
  worker.on('error', error => { throw error; });
} else {
  const budget = BigInt(workerData.fuel);
  const world = host({ ...workerData, input: Buffer.from(workerData.input) });
  const report = { end: 'exited', code: 0 };
  let exports;
  try {
    const imports = { wasi_snapshot_preview1: world.calls };
    ({ exports } = new WebAssembly.Instance(new WebAssembly.Module(workerData.module), imports));
    world.use(exports);
    exports.spatter_fuel.value = world.left = budget;
    exports._start();
    world.charge(0n);
  } catch (error) {
    if (error instanceof Ended) {
      Object.assign(report, { end: error.end, code: error.code });
    } else {
      report.end = exports.spatter_fuel.value < 0n ? 'out of fuel' : 'trapped';
      report.recursion = exports.spatter_stack.value < 0;
      report.message = error.message;
    }
  }
  const used = { exited: () => budget - exports.spatter_fuel.value, 'out of fuel': () => budget };
  report.fuel = (used[report.end] ?? (() => budget - world.left))().toString();
  parentPort.postMessage({ report, bytes: Buffer.concat(world.output) });
}
