// Runs an admitted module in Node.js, whose engine knows nothing of the translator's:
//   node run.mjs MODULE.wasm FUEL[,FUEL...] OUTPUT [argument...] < input
// The module's standard output, when it has the first FUEL, goes to the file OUTPUT. One line of JSON for
// each FUEL says how it ended:
//   {"end": "exit" | "fuel" | "stack" | "trap", "code": n, "fuel": "used", "left": "left", "message": "..."}
// The world it sees is fixed: time stands still, randomness is a counter, there are no files.
import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const errno = { success: 0, badf: 8, inval: 28, nosys: 52, spipe: 70 };

class Exit extends Error {
  constructor(code) { super(`exit ${code}`); this.code = code; }
}

function host(args, input) {
  const output = [];
  let memory, position = 0, random = 0;
  const view = () => new DataView(memory.buffer);
  const strings = args.map(a => Buffer.from(a + '\0'));
  const sizes = (list, count, bytes) => {
    view().setUint32(count, list.length, true);
    view().setUint32(bytes, list.reduce((sum, one) => sum + one.length, 0), true);
    return errno.success;
  };
  const copy = (list, pointers, bytes) => {
    for (const one of list) {
      view().setUint32(pointers, bytes, true);
      new Uint8Array(memory.buffer, bytes, one.length).set(one);
      pointers += 4, bytes += one.length;
    }
    return errno.success;
  };
  const vectors = (list, count, each) => {
    let total = 0;
    for (let i = 0; i < count; i++) {
      const at = view().getUint32(list + 8 * i, true), length = view().getUint32(list + 8 * i + 4, true);
      const done = each(new Uint8Array(memory.buffer, at, length));
      total += done;
      if (done < length) break;
    }
    return total;
  };
  const calls = {
    args_sizes_get: (count, bytes) => sizes(strings, count, bytes),
    args_get: (pointers, bytes) => copy(strings, pointers, bytes),
    environ_sizes_get: (count, bytes) => sizes([], count, bytes),
    environ_get: () => errno.success,
    fd_write(fd, list, count, written) {
      if (fd !== 1 && fd !== 2) return errno.badf;
      const total = vectors(list, count, part => {
        if (fd === 1) output.push(Buffer.from(part));
        return part.length;
      });
      view().setUint32(written, total, true);
      return errno.success;
    },
    fd_read(fd, list, count, read) {
      if (fd !== 0) return errno.badf;
      const total = vectors(list, count, part => {
        const some = input.subarray(position, position + part.length);
        part.set(some);
        position += some.length;
        return some.length;
      });
      view().setUint32(read, total, true);
      return errno.success;
    },
    fd_close: fd => (fd <= 2 ? errno.success : errno.badf),
    fd_seek: fd => (fd <= 2 ? errno.spipe : errno.badf),
    fd_tell: fd => (fd <= 2 ? errno.spipe : errno.badf),
    fd_fdstat_get(fd, to) {
      if (fd > 2) return errno.badf;
      new Uint8Array(memory.buffer, to, 24).fill(0);
      view().setUint8(to, 4);  // a regular file
      view().setBigUint64(to + 8, fd === 0 ? 2n : 64n, true);  // the right to read, or to write
      return errno.success;
    },
    fd_fdstat_set_flags: () => errno.nosys,
    fd_filestat_get: () => errno.nosys,
    fd_prestat_get: () => errno.badf,
    fd_prestat_dir_name: () => errno.badf,
    path_open: () => errno.badf,
    proc_exit(code) { throw new Exit(code); },
    clock_time_get(id, precision, to) { view().setBigUint64(to, 0n, true); return errno.success; },
    clock_res_get(id, to) { view().setBigUint64(to, 1n, true); return errno.success; },
    random_get(to, length) {
      for (const part = new Uint8Array(memory.buffer, to, length); length-- > 0;) part[length] = random++ & 255;
      return errno.success;
    },
    poll_oneoff: () => errno.nosys,
    sched_yield: () => errno.success,
  };
  return { calls, output, use(exported) { memory = exported; } };
}

if (isMainThread) {
  const [path, fuels, output, ...args] = process.argv.slice(2);
  // A module may recurse as deep as its own rule lets it, which is more than Node's stack as it comes.
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { module: readFileSync(path), fuels: fuels.split(','), args: ['module', ...args], input: readFileSync(0) },
    resourceLimits: { stackSizeMb: 900 },
  });
  worker.on('message', ({ reports, bytes }) => {
    writeFileSync(output, bytes);
    for (const report of reports) writeSync(1, JSON.stringify(report) + '\n');
  });
  worker.on('error', error => { throw error; });
} else {
  const { module, fuels, args, input } = workerData;
  const compiled = new WebAssembly.Module(module);
  const runs = fuels.map(fuel => run(compiled, BigInt(fuel), args, Buffer.from(input)));
  parentPort.postMessage({ reports: runs.map(one => one.report), bytes: runs[0].bytes });
}

function run(compiled, fuel, args, input) {
  const world = host(args, input);
  const instance = new WebAssembly.Instance(compiled, { wasi_snapshot_preview1: world.calls });
  const { memory, _start, spatter_fuel, spatter_stack } = instance.exports;
  world.use(memory);
  spatter_fuel.value = fuel;
  const report = { end: 'exit', code: 0 };
  try {
    _start();
  } catch (error) {
    if (error instanceof Exit) {
      report.code = error.code;
    } else {
      report.end = spatter_stack.value < 0 ? 'stack' : 'trap';
      report.message = error.message;
    }
  }
  if (spatter_fuel.value < 0n) report.end = 'fuel';
  report.fuel = (fuel - spatter_fuel.value).toString();
  report.left = spatter_fuel.value.toString();
  return { report, bytes: Buffer.concat(world.output) };
}
