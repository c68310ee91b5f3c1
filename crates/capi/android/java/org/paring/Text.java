package org.paring;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Strings as the native library has them: UTF-8 with a 0 at the end. */
final class Text {
  private Text() {}

  static byte[] encoded(String text) {
    if (text.indexOf(0) >= 0) {
      throw new IllegalArgumentException("expected text, found a character 0 in '" + text + "'");
    }
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    return Arrays.copyOf(bytes, bytes.length + 1);
  }

  static String decoded(byte[] bytes) {
    int length = bytes.length > 0 && bytes[bytes.length - 1] == 0 ? bytes.length - 1 : bytes.length;
    return new String(bytes, 0, length, StandardCharsets.UTF_8);
  }
}
