package org.paring;

import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.util.Collections;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** What the native library keeps for an object: freed when that is closed or, where it never is, collected. */
abstract class Handle extends PhantomReference<Object> {
  private static final ReferenceQueue<Object> COLLECTED = new ReferenceQueue<>();
  /** Keeps the handles of objects that are in use. */
  private static final Set<Handle> OPEN = Collections.newSetFromMap(new ConcurrentHashMap<Handle, Boolean>());

  private final AtomicLong value;

  Handle(Object owner, long value) {
    super(owner, COLLECTED);
    this.value = new AtomicLong(value);
    OPEN.add(this);
    freeCollected();
  }

  abstract void free(long value);

  /** The number that the native library knows. */
  long number() {
    long v = value.get();
    if (v == 0) {
      throw new IllegalStateException("it was closed: open another one");
    }
    return v;
  }

  void close() {
    OPEN.remove(this);
    long v = value.getAndSet(0);
    if (v != 0) {
      free(v);
    }
  }

  /** Frees what belongs to objects that nobody closed. Returns how many are left in use. */
  static int freeCollected() {
    for (Object gone = COLLECTED.poll(); gone != null; gone = COLLECTED.poll()) {
      ((Handle) gone).close();
    }
    return OPEN.size();
  }
}
