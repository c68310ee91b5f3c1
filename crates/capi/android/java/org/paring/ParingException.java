package org.paring;

import java.nio.charset.StandardCharsets;

/** A failure of the library: what kind it is, and what went wrong in words. */
public final class ParingException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** An argument is wrong: a size, type, name or option. */
  public static final int INVALID_ARGUMENT = 1;
  /** A file could not be read. */
  public static final int IO = 2;
  /** A model is damaged or contradicts itself. */
  public static final int CORRUPT = 3;
  /** A model asks for something that Paring does not have. */
  public static final int UNSUPPORTED = 4;
  /** The data given to a run is outside what an operator allows. */
  public static final int DATA = 5;
  /** A limit was hit. */
  public static final int LIMIT = 6;
  /** The run was cancelled. */
  public static final int CANCELLED = 7;
  /** No memory. */
  public static final int OUT_OF_MEMORY = 8;
  /** There is nothing of that name. */
  public static final int NOT_FOUND = 12;
  /** A defect of Paring itself. */
  public static final int INTERNAL = 13;

  private final int status;

  /** Called by the native library. */
  ParingException(int status, byte[] message) {
    super(new String(message, StandardCharsets.UTF_8));
    this.status = status;
  }

  /** One of the constants of this class, which are those of {@code paring_status} in paring.h. */
  public int status() {
    return status;
  }
}
