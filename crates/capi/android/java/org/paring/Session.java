package org.paring;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * Runs a model, for one thread at a time: others wait for it, but for {@link #cancel}.
 *
 * <p>Tensors are direct buffers in the order of this machine, {@code
 * ByteBuffer.allocateDirect(n).order(ByteOrder.nativeOrder())}; what lies between position and limit counts, and neither
 * is moved.
 */
public final class Session implements AutoCloseable {
  /** Static, as one that knew its owner would keep it from being collected. */
  private static final class Kept extends Handle {
    Kept(Session owner, long value) {
      super(owner, value);
    }

    @Override
    void free(long value) {
      Session.free(value);
    }
  }

  private final Handle handle;
  private final List<TensorInfo> inputs;
  private final List<TensorInfo> outputs;
  /** Memory that the native library reads weights from, or writes results to. */
  private final ByteBuffer source;
  private final ByteBuffer[] bound;

  Session(Model model, long made) {
    handle = new Kept(this, made);
    source = model.source;
    inputs = model.inputs();
    outputs = model.outputs();
    bound = new ByteBuffer[outputs.size()];
  }

  /** Gives an input another shape. */
  public synchronized void resize(int input, long... dims) {
    resize(handle.number(), input, dims);
  }

  /** Copies a tensor into an input, which takes its shape. */
  public synchronized void setInput(int input, ByteBuffer data, long... dims) {
    long session = handle.number();
    DType dtype = at(inputs, input, "input").dtype;
    Memory.readable(data, dtype);
    setInput(session, input, data, data.position(), data.remaining(), dtype.code, dims);
  }

  /** Computes the outputs from the inputs. */
  public synchronized void run() {
    run(handle.number());
  }

  /** Makes everything ready for the inputs as they are, so that later runs are quick from the first. */
  public synchronized void warmup() {
    warmup(handle.number());
  }

  /** A copy of the result of an output. */
  public synchronized ByteBuffer output(int output) {
    long session = handle.number();
    at(outputs, output, "output");
    ByteBuffer out = ByteBuffer.allocateDirect(outputBytes(session, output)).order(ByteOrder.nativeOrder());
    readOutput(session, output, out, 0, out.capacity());
    return out;
  }

  /** Copies the result of an output into a buffer, which has room for at least that. */
  public synchronized void readOutput(int output, ByteBuffer into) {
    long session = handle.number();
    Memory.writable(into, at(outputs, output, "output").dtype);
    readOutput(session, output, into, into.position(), into.remaining());
  }

  /** The dimensions of the result of an output. */
  public synchronized long[] outputDims(int output) {
    return outputDims(handle.number(), output);
  }

  /**
   * Has results of an output written to a buffer from now on, without a copy. All inputs must have shapes, and there must
   * be room; the buffer is zeroed.
   */
  public synchronized void bindOutput(int output, ByteBuffer into) {
    long session = handle.number();
    DType dtype = at(outputs, output, "output").dtype;
    Memory.writable(into, dtype);
    bindOutput(session, output, into, into.position(), into.remaining(), dtype.code);
    bound[output] = into;
  }

  /** Ends one run with {@link ParingException#CANCELLED}: the one in progress, or the next. For any thread. */
  public void cancel() {
    cancel(handle.number());
  }

  /** Bytes of working memory, and of weights in the form in which they are read. 0 as long as shapes are open. */
  public synchronized long[] memory() {
    return memory(handle.number());
  }

  /** The times of all layers as JSON; option {@code profile} must be on. */
  public synchronized String profileJson() {
    return Text.decoded(profile(handle.number()));
  }

  /** Frees the session, once a run in progress has come to its end. A second time it does nothing. */
  @Override
  public synchronized void close() {
    handle.close();
  }

  private static TensorInfo at(List<TensorInfo> all, int index, String what) {
    if (index < 0 || index >= all.size()) {
      throw new IllegalArgumentException("there is no " + what + " " + index + ": the model has " + all.size());
    }
    return all.get(index);
  }

  private static native void free(long session);

  private static native void cancel(long session);

  // Not static: this keeps the object, and the buffers that it holds, from being collected meanwhile.
  private native void resize(long session, int input, long[] dims);

  private native void setInput(
      long session, int input, ByteBuffer data, int position, int length, int dtype, long[] dims);

  private native void run(long session);

  private native void warmup(long session);

  private native int outputBytes(long session, int output);

  private native void readOutput(long session, int output, ByteBuffer into, int position, int length);

  private native long[] outputDims(long session, int output);

  private native void bindOutput(long session, int output, ByteBuffer into, int position, int length, int dtype);

  private native long[] memory(long session);

  private native byte[] profile(long session);
}
