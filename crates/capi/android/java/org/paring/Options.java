package org.paring;

import java.util.LinkedHashMap;
import java.util.Map;

/** How models are opened and sessions made. They are read then, and may be changed or dropped afterwards. */
public final class Options {
  private final Map<String, String> settings = new LinkedHashMap<>();

  /**
   * Sets an option by the name that paring.h has for it, at {@code paring_options_set}: {@code threads}, {@code numerics}
   * and others. A name or value that does not exist fails where the options are used.
   */
  public Options set(String key, String value) {
    if (key == null || value == null) {
      throw new IllegalArgumentException("expected an option and its value, found null");
    }
    settings.put(key, value);
    return this;
  }

  /** How many threads compute, the calling one included; 0 for one on each fast core. */
  public Options threads(int threads) {
    return set("threads", Integer.toString(threads));
  }

  /** Names and values in turn, for the native library; null for none. */
  static byte[][] encoded(Options options) {
    if (options == null || options.settings.isEmpty()) {
      return null;
    }
    byte[][] all = new byte[2 * options.settings.size()][];
    int n = 0;
    for (Map.Entry<String, String> s : options.settings.entrySet()) {
      all[n++] = Text.encoded(s.getKey());
      all[n++] = Text.encoded(s.getValue());
    }
    return all;
  }
}
