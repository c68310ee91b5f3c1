import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import org.paring.DType;
import org.paring.Model;
import org.paring.Options;
import org.paring.ParingException;
import org.paring.Session;
import org.paring.TensorInfo;

/**
 * Tests of org.paring on a desktop: Demo FOLDER PARE LOGITS. Writes what it computes of the demo's pictures to LOGITS; ends
 * with an error where anything is not as it should be.
 */
public final class Demo {
  private static final int SIDE = 28;
  private static final int PICTURES = 48;
  private static final int CLASSES = 10;
  private static final long[] DIMS = {1, 1, SIDE, SIDE};

  private interface Action {
    void run() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    String onnx = args[0] + "/resnet_s_fashion.onnx";
    ByteBuffer[] pictures = pictures(Paths.get(args[0], "fashion_x.npy"));

    ByteBuffer logits;
    try (Model model = Model.open(onnx, new Options().threads(2)); Session session = model.session()) {
      TensorInfo in = model.inputs().get(0);
      check(in.dtype == DType.F32 && Arrays.equals(in.dims(), new long[] {-1, 1, SIDE, SIDE}), "the input's type");
      check(model.outputs().size() == 1 && !model.metadata("producer").isEmpty(), "what the model says of itself");
      logits = computed(session, pictures);
      check(Arrays.equals(session.outputDims(0), new long[] {1, CLASSES}), "the result's dimensions");
      check(session.memory()[0] > 0, "the session's memory");
    }
    try (OutputStream out = Files.newOutputStream(Paths.get(args[2]))) {
      byte[] bytes = new byte[logits.capacity()];
      logits.duplicate().get(bytes);
      out.write(bytes);
    }

    try (Model model = Model.open(args[1]); Session session = model.session()) {
      check(computed(session, pictures).equals(logits), "results of a .pare file");
    }
    Session mapped;
    try (FileChannel file = FileChannel.open(Paths.get(args[1]))) {
      mapped = Model.open(file.map(FileChannel.MapMode.READ_ONLY, 0, file.size())).session();
    }
    System.gc();
    check(computed(mapped, pictures).equals(logits), "results of a mapped file");
    mapped.close();

    bound(onnx, pictures, logits);
    errors(onnx, pictures);
    closed(onnx, pictures);
    closedMeanwhile(onnx, pictures);
    System.out.println("the Java classes do what they should");
  }

  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
  }

  private static ByteBuffer[] pictures(Path file) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    ByteBuffer[] all = new ByteBuffer[PICTURES];
    for (int i = 0; i < PICTURES; i++) {
      all[i] = direct(4 * SIDE * SIDE);
      FloatBuffer pixels = all[i].asFloatBuffer();
      for (int p = 0; p < SIDE * SIDE; p++) {
        pixels.put((bytes[128 + i * SIDE * SIDE + p] & 255) / 255.0f);
      }
    }
    return all;
  }

  private static ByteBuffer computed(Session session, ByteBuffer[] pictures) {
    ByteBuffer all = direct(4 * CLASSES * PICTURES);
    for (ByteBuffer picture : pictures) {
      session.setInput(0, picture, DIMS);
      session.run();
      session.readOutput(0, all);
      all.position(all.position() + 4 * CLASSES);
    }
    all.flip();
    return all;
  }

  private static void bound(String onnx, ByteBuffer[] pictures, ByteBuffer logits) {
    try (Session session = Model.open(onnx).session(new Options().set("profile", "true"))) {
      session.resize(0, DIMS);
      // In the middle of a buffer, which nobody but the session keeps.
      ByteBuffer result = direct(4 * CLASSES + 16);
      result.position(16);
      session.bindOutput(0, result);
      session.setInput(0, pictures[0], DIMS);
      session.warmup();
      session.run();
      check(result.equals(logits.duplicate().limit(4 * CLASSES)), "a result in memory of the program's");
      check(session.output(0).equals(result), "a copy of it");
      check(session.profileJson().startsWith("{"), "the times of layers");
    }
  }

  private static void errors(String onnx, ByteBuffer[] pictures) {
    fails(ParingException.IO, () -> Model.open("/nowhere/at/ä𝄞.onnx"), "/nowhere/at/ä𝄞.onnx");
    fails(ParingException.CORRUPT, () -> Model.open(direct(100)), "");
    fails(ParingException.INVALID_ARGUMENT, () -> Model.open(direct(0)), "");
    fails(ParingException.INVALID_ARGUMENT, () -> Model.open(onnx, new Options().set("colour", "red")), "colour");
    throwsUp(IllegalArgumentException.class, () -> Model.open("a\0b"));
    throwsUp(IllegalArgumentException.class, () -> Model.open((ByteBuffer) null));
    throwsUp(IllegalArgumentException.class, () -> Model.open(ByteBuffer.allocate(100)));
    throwsUp(IllegalArgumentException.class, () -> new Options().set("threads", null));
    try (Model model = Model.open(onnx); Session session = model.session()) {
      fails(ParingException.NOT_FOUND, () -> model.metadata("colour"), "colour");
      fails(ParingException.INVALID_ARGUMENT, () -> model.session(new Options().set("threads", "many")), "threads");
      fails(ParingException.INVALID_ARGUMENT, session::run, "");
      fails(ParingException.INVALID_ARGUMENT, () -> session.output(0), "");
      fails(ParingException.INVALID_ARGUMENT, () -> session.setInput(0, pictures[0], 1, 1, SIDE, SIDE + 1), "");
      fails(ParingException.INVALID_ARGUMENT, () -> session.setInput(0, pictures[0], new long[40]), "32");
      fails(ParingException.INVALID_ARGUMENT, () -> session.setInput(0, pictures[0], (long[]) null), "null");
      fails(ParingException.INVALID_ARGUMENT, () -> session.resize(7, DIMS), "7");
      throwsUp(IllegalArgumentException.class, () -> session.setInput(-1, pictures[0], DIMS));
      throwsUp(IllegalArgumentException.class, () -> session.setInput(0, ByteBuffer.allocate(4 * SIDE * SIDE), DIMS));
      throwsUp(IllegalArgumentException.class, () -> session.setInput(0, null, DIMS));
      ByteOrder other = ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
      throwsUp(IllegalArgumentException.class, () -> session.setInput(0, direct(4 * SIDE * SIDE).order(other), DIMS));
      session.setInput(0, pictures[0], DIMS);
      fails(ParingException.INVALID_ARGUMENT, () -> session.bindOutput(0, direct(4)), "");
      session.cancel();
      fails(ParingException.CANCELLED, session::run, "");
      session.run();
      fails(ParingException.INVALID_ARGUMENT, () -> session.readOutput(0, direct(4)), "room");
      throwsUp(IllegalArgumentException.class, () -> session.readOutput(0, direct(40).asReadOnlyBuffer()));
    }
  }

  private static void closed(String onnx, ByteBuffer[] pictures) {
    Model model = Model.open(onnx);
    Session session = model.session();
    model.close();
    model.close();
    session.setInput(0, pictures[0], DIMS);
    session.run();
    session.close();
    session.close();
    throwsUp(IllegalStateException.class, model::session);
    throwsUp(IllegalStateException.class, () -> model.metadata("name"));
    throwsUp(IllegalStateException.class, session::run);
    throwsUp(IllegalStateException.class, session::cancel);
    throwsUp(IllegalStateException.class, () -> session.output(0));
    throwsUp(IllegalStateException.class, () -> session.setInput(0, pictures[0], DIMS));
    throwsUp(IllegalStateException.class, () -> session.bindOutput(0, direct(40)));
  }

  /** One thread runs a session that another closes. */
  private static void closedMeanwhile(String onnx, ByteBuffer[] pictures) throws InterruptedException {
    for (int round = 0; round < 20; round++) {
      Session session = Model.open(onnx).session();
      session.setInput(0, pictures[0], DIMS);
      Throwable[] end = new Throwable[1];
      Thread other = new Thread(() -> {
        try {
          while (true) {
            session.run();
            session.output(0);
          }
        } catch (RuntimeException e) {
          end[0] = e;
        }
      });
      other.start();
      Thread.sleep(round);
      session.close();
      other.join();
      check(end[0] instanceof IllegalStateException, "what ends a run of a closed session: " + end[0]);
    }
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }

  private static void fails(int status, Action action, String words) {
    try {
      action.run();
    } catch (ParingException e) {
      check(e.status() == status && e.getMessage().contains(words), "an unexpected " + e.status() + ": " + e.getMessage());
      return;
    } catch (Exception e) {
      throw new AssertionError("another failure", e);
    }
    throw new AssertionError("no failure where status " + status + " was expected");
  }

  private static void throwsUp(Class<? extends Exception> expected, Action action) {
    try {
      action.run();
    } catch (Exception e) {
      if (!expected.isInstance(e)) {
        throw new AssertionError("another failure", e);
      }
      return;
    }
    throw new AssertionError("no failure where " + expected.getSimpleName() + " was expected");
  }
}
