package org.paring;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * A network, opened from a .pare or an ONNX file. Nothing about it ever changes, and any number of threads may use it.
 * Sessions keep what they need of it: it may be closed before them.
 */
public final class Model implements AutoCloseable {
  static {
    System.loadLibrary("paring");
  }

  /** Static, as one that knew its owner would keep it from being collected. */
  private static final class Kept extends Handle {
    Kept(Model owner, long value) {
      super(owner, value);
    }

    @Override
    void free(long value) {
      Model.free(value);
    }
  }

  private final Handle handle;
  /** Memory that the native library reads weights from. */
  final ByteBuffer source;
  private final List<TensorInfo> inputs;
  private final List<TensorInfo> outputs;

  private Model(long opened, ByteBuffer source) {
    handle = new Kept(this, opened);
    this.source = source;
    inputs = infos(0);
    outputs = infos(1);
  }

  /** Opens a file, which must not change while the model is in use. */
  public static Model open(String path) {
    return open(path, null);
  }

  /** Opens a file with these options; null for the usual ones. */
  public static Model open(String path, Options options) {
    return new Model(openFile(Text.encoded(path), Options.encoded(options)), null);
  }

  /**
   * Opens a model in a direct buffer, from its position to its limit, which is read in place and must not change while the
   * model or a session of it is in use. It may be a mapped file: on Android, one that lies uncompressed among the assets.
   */
  public static Model open(ByteBuffer buffer) {
    return open(buffer, null);
  }

  /** Opens a model in a direct buffer with these options; null for the usual ones. */
  public static Model open(ByteBuffer buffer, Options options) {
    ByteBuffer source = Memory.readable(buffer).duplicate();
    return new Model(openMemory(source, source.position(), source.remaining(), Options.encoded(options)), source);
  }

  /** The inputs, in the order of the file. */
  public List<TensorInfo> inputs() {
    return inputs;
  }

  /** The outputs, in the order of the file. */
  public List<TensorInfo> outputs() {
    return outputs;
  }

  /** What the model says of itself: {@code name}, {@code producer}, {@code doc}, or a property of its own. */
  public String metadata(String key) {
    return Text.decoded(metadata(handle.number(), Text.encoded(key)));
  }

  /** Something to run the model with. */
  public Session session() {
    return session(null);
  }

  /** Something to run the model with, made with these options; null for the usual ones. */
  public Session session(Options options) {
    return new Session(this, newSession(handle.number(), Options.encoded(options)));
  }

  /** Frees the model. A second time it does nothing. */
  @Override
  public void close() {
    handle.close();
  }

  private List<TensorInfo> infos(int direction) {
    List<TensorInfo> all = new ArrayList<>();
    int n = count(handle.number(), direction);
    for (int i = 0; i < n; i++) {
      long[] described = describe(handle.number(), direction, i);
      long[] dims = described[1] < 0 ? null : java.util.Arrays.copyOfRange(described, 2, described.length);
      all.add(new TensorInfo(Text.decoded(name(handle.number(), direction, i)), DType.of((int) described[0]), dims));
    }
    return Collections.unmodifiableList(all);
  }

  // Not static where memory of this object's is read meanwhile: that keeps it from being collected.
  private static native long openFile(byte[] path, byte[][] options);

  private static native long openMemory(ByteBuffer buffer, int position, int length, byte[][] options);

  private static native void free(long model);

  private static native int count(long model, int direction);

  private static native byte[] name(long model, int direction, int index);

  /** Element type, rank and dimensions. */
  private static native long[] describe(long model, int direction, int index);

  private static native byte[] metadata(long model, byte[] key);

  private native long newSession(long model, byte[][] options);
}
