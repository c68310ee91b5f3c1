package org.paring;

import java.util.concurrent.atomic.AtomicInteger;

/** Handles of objects that nobody closes are freed, once. */
public final class HandleTest {
  private static final AtomicInteger FREED = new AtomicInteger();

  private static final class Counted extends Handle {
    Counted(Object owner) {
      super(owner, 7);
    }

    @Override
    void free(long value) {
      FREED.addAndGet((int) value);
    }
  }

  public static void main(String[] args) throws InterruptedException {
    Object kept = new Object();
    Handle open = new Counted(kept);
    new Counted(new Object());
    for (int i = 0; i < 200 && FREED.get() == 0; i++) {
      System.gc();
      Thread.sleep(10);
      Handle.freeCollected();
    }
    check(FREED.get() == 7, "what was collected is freed once");
    check(open.number() == 7 && Handle.freeCollected() == 1, "what is in use stays");
    open.close();
    open.close();
    check(FREED.get() == 14 && Handle.freeCollected() == 0, "what is closed is freed once");
    check(kept != null, "");
    System.out.println("handles are freed once");
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
