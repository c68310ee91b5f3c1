package org.paring;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Checks of the buffers that are handed to the native library. */
final class Memory {
  private Memory() {}

  /** A buffer that native code can read: what lies between its position and its limit counts. */
  static ByteBuffer readable(ByteBuffer buffer) {
    if (buffer == null || !buffer.isDirect()) {
      String found = buffer == null ? "null" : "one on the heap";
      throw new IllegalArgumentException("expected a direct buffer (ByteBuffer.allocateDirect), found " + found);
    }
    return buffer;
  }

  /** The same for elements of this type, whose bytes must be in the order of this machine. */
  static ByteBuffer readable(ByteBuffer buffer, DType dtype) {
    if (readable(buffer).order() != ByteOrder.nativeOrder() && dtype.bytes > 1) {
      throw new IllegalArgumentException("expected a buffer in the byte order " + ByteOrder.nativeOrder()
          + " (buffer.order(ByteOrder.nativeOrder())), found " + buffer.order());
    }
    return buffer;
  }

  /** The same for a buffer that native code writes to. */
  static ByteBuffer writable(ByteBuffer buffer, DType dtype) {
    if (readable(buffer, dtype).isReadOnly()) {
      throw new IllegalArgumentException("expected a buffer to write to, found one to read only");
    }
    return buffer;
  }
}
