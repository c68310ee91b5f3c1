package org.paring;

/** What a model says of an input or output. */
public final class TensorInfo {
  /** The name in the model. */
  public final String name;
  /** The type of the elements. */
  public final DType dtype;
  private final long[] dims;

  TensorInfo(String name, DType dtype, long[] dims) {
    this.name = name;
    this.dtype = dtype;
    this.dims = dims;
  }

  /** The dimensions, -1 for one that the model leaves open; null where it leaves even their number open. */
  public long[] dims() {
    return dims == null ? null : dims.clone();
  }
}
