// Holds the C interface as a WebAssembly module, without imports, to what docs/wasm.md says:
// `node wasm.mjs MODULE MODEL DEMO`, where the model is that of the demo.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Paring } from "../crates/capi/examples/paring.mjs";

const [module, network, demo] = process.argv.slice(2);
const [PARING_IO, PARING_CORRUPT, PARING_UNSUPPORTED] = [2, 3, 4];
const paring = await Paring.load(await readFile(module));

// The elements of a NumPy file of bytes.
async function elements(name) {
  const file = await readFile(join(demo, name));
  return file.subarray(10 + file.readUInt16LE(8));
}

const images = Float32Array.from(await elements("fashion_x.npy"), (pixel) => pixel / 255);
const labels = await elements("fashion_y.npy");
const file = await readFile(network);
const model = paring.model(file);
const scores = paring.run(paring.session(model), images, [labels.length, 1, 28, 28]);
const classes = scores.length / labels.length;
const best = (image) => {
  const row = scores.subarray(image * classes, (image + 1) * classes);
  return row.indexOf(Math.max(...row));
};
const right = labels.filter((label, image) => best(image) === label).length;
assert(classes === 10 && right >= 43, `${right} of ${labels.length} right`);

// Errors, not traps, and the module is as good as before.
const fails = (status, message, work) => assert.throws(work, (e) => e.status === status && message.test(e.message));
const sessionWith = (settings) => paring.session(model, paring.options(settings));
fails(PARING_UNSUPPORTED, /^profiling a session needs a clock/, () => sessionWith({ profile: "true" }));
fails(PARING_UNSUPPORTED, /^2 threads: this platform has no threads/, () => sessionWith({ threads: "2" }));
fails(PARING_IO, /net\.onnx/, () => paring.make("model_load_file", "net.onnx", 0));
fails(PARING_CORRUPT, /./, () => paring.model(file.subarray(0, file.length / 2)));
const session = sessionWith({ threads: "1" });
const pages = [];
for (let i = 0; i < 8; i++) {
  assert.deepEqual(paring.run(session, images, [labels.length, 1, 28, 28]), scores);
  pages.push(paring.exports.memory.buffer.byteLength);
}
assert.equal(pages[7], pages[1], "running again takes no more memory");
console.log(`${right} of ${labels.length} images right; profiles, threads and files are refused`);
