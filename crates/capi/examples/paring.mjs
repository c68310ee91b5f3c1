// The C interface as a WebAssembly module, for JavaScript: `const paring = Paring.load(bytes)`, in a browser or under Node.
// Arguments of `call` are numbers, strings and bytes. What goes in and out lies in memory beside the library's own.
const PARING_F32 = 1;

export class Paring {
  static async load(module) {
    const { instance } = await WebAssembly.instantiate(module, {});
    return new Paring(instance.exports);
  }

  constructor(exports) {
    this.exports = exports;
    this.begin = this.next = this.end = 0;
  }

  // Memory for so many bytes, until the `scope` ends that this is called in. The library grows by pages of its own; pages
  // that have become too few are left for twice as many.
  room(bytes) {
    const page = 65536;
    if (this.end - this.next < bytes) {
      const pages = Math.ceil((2 * Math.max(bytes, this.end - this.begin)) / page);
      this.begin = this.next = this.exports.memory.grow(pages) * page;
      this.end = this.begin + pages * page;
    }
    const at = this.next;
    this.next += Math.ceil(bytes / 8) * 8;
    return at;
  }

  // What `work` returns; the memory that it took is free again.
  scope(work) {
    const { next, end } = this;
    try {
      return work();
    } finally {
      this.next = this.end === end ? next : this.begin;
    }
  }

  // The memory as it is now: calls may make it grow, which leaves older views empty.
  bytes(at, length) {
    return new Uint8Array(this.exports.memory.buffer, at, length);
  }

  words(at, length) {
    return new Uint32Array(this.exports.memory.buffer, at, length);
  }

  give(data) {
    const at = this.room(data.length);
    this.bytes(at, data.length).set(data);
    return at;
  }

  // Calls a function of paring.h, and throws what `paring_last_error` says where it fails.
  call(name, ...args) {
    const text = (a) => (typeof a === "string" ? new TextEncoder().encode(a + "\0") : a);
    const pass = (a) => (a instanceof Uint8Array ? this.give(a) : a);
    const status = this.scope(() => this.exports[`paring_${name}`](...args.map(text).map(pass)));
    if (status !== 0) {
      throw Object.assign(new Error(this.lastError()), { status });
    }
  }

  // As `call`, for functions whose last argument receives a handle.
  make(name, ...args) {
    return this.scope(() => {
      const out = this.room(4);
      this.call(name, ...args, out);
      return this.words(out, 1)[0];
    });
  }

  lastError() {
    return this.scope(() => {
      const length = 4096;
      const at = this.room(length);
      this.exports.paring_last_error(at, length, 0);
      const text = this.bytes(at, length);
      return new TextDecoder().decode(text.slice(0, text.indexOf(0)));
    });
  }

  // A model of the bytes of an ONNX or `.pare` file.
  model(file, options = 0) {
    return this.make("model_load_bytes", file, file.length, options);
  }

  options(settings) {
    const options = this.make("options_new");
    for (const [key, value] of Object.entries(settings)) {
      this.call("options_set", options, key, value);
    }
    return options;
  }

  session(model, options = 0) {
    return this.make("session_new", model, options);
  }

  // Runs on one input, an array of floats of that shape, and returns a copy of the first output.
  run(session, floats, shape) {
    return this.scope(() => {
      const dims = this.give(new Uint8Array(BigInt64Array.from(shape, BigInt).buffer));
      const data = this.give(new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength));
      const tensor = this.room(20);
      this.words(tensor, 5).set([data, floats.byteLength, dims, shape.length, PARING_F32]);
      this.call("session_set_input", session, 0, tensor);
      this.call("session_run", session);
      this.call("session_output", session, 0, tensor);
      const [at, length] = this.words(tensor, 2);
      return new Float32Array(this.exports.memory.buffer.slice(at, at + length));
    });
  }
}
