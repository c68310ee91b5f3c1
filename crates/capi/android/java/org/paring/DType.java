package org.paring;

/** The type of an element. */
public enum DType {
  F32(1, 4),
  /** IEEE 754 binary16. */
  F16(2, 2),
  /** The upper half of a float. */
  BF16(3, 2),
  F64(4, 8),
  I8(5, 1),
  U8(6, 1),
  I16(7, 2),
  U16(8, 2),
  I32(9, 4),
  U32(10, 4),
  I64(11, 8),
  U64(12, 8),
  /** One byte, 0 or 1. */
  BOOL(13, 1);

  /** The number that paring.h has for it. */
  final int code;
  /** Bytes of one element. */
  public final int bytes;

  DType(int code, int bytes) {
    this.code = code;
    this.bytes = bytes;
  }

  static DType of(int code) {
    for (DType t : values()) {
      if (t.code == code) {
        return t;
      }
    }
    throw new IllegalStateException("the library is newer than these classes: there is no element type " + code);
  }
}
