/* The native methods of org.paring, on top of paring.h.
 *
 * Handles travel as numbers: one that is stale is an error of the library's. Memory comes as direct buffers, with position
 * and length as the buffer has them; Java sees to it that one thread at a time uses a session, whose results are copied
 * from where they lie. Strings are arrays of UTF-8, with a 0 at the end on the
 * way in. Every failure becomes a ParingException with the library's own words. */
#include <jni.h>
#include <paring.h>
#include <string.h>

#define METHOD(type, class, name) JNIEXPORT type JNICALL Java_org_paring_##class##_##name

/* Words of an error are cut off beyond this. */
enum { WORDS = 2048 };

static jbyteArray bytes_of(JNIEnv *env, const char *text) {
  jsize n = (jsize)strlen(text);
  jbyteArray out = (*env)->NewByteArray(env, n);
  if (out) (*env)->SetByteArrayRegion(env, out, 0, n, (const jbyte *)text);
  return out;
}

static void throw_with(JNIEnv *env, paring_status status, const char *words) {
  if ((*env)->ExceptionCheck(env)) return;
  jclass class = (*env)->FindClass(env, "org/paring/ParingException");
  jmethodID make = class ? (*env)->GetMethodID(env, class, "<init>", "(I[B)V") : NULL;
  jbyteArray message = make ? bytes_of(env, words) : NULL;
  jobject exception = message ? (*env)->NewObject(env, class, make, (jint)status, message) : NULL;
  if (exception) (*env)->Throw(env, (jthrowable)exception);
}

/* Whether a call went well; where it did not, throws what the library says. */
static int went_well(JNIEnv *env, paring_status status) {
  if (status == PARING_OK) return 1;
  char words[WORDS];
  paring_last_error(words, sizeof words, NULL);
  throw_with(env, status, words);
  return 0;
}

/* The bytes of a direct buffer from `position` on; throws where there are none. */
static void *data_of(JNIEnv *env, jobject buffer, jint position) {
  char *data = buffer ? (*env)->GetDirectBufferAddress(env, buffer) : NULL;
  if (data) return data + position;
  throw_with(env, PARING_INVALID_ARGUMENT, "expected a direct buffer of one byte or more");
  return NULL;
}

/* Dimensions on the way in. Too many of them are left to the library to refuse. */
typedef struct {
  int64_t dims[PARING_MAX_RANK];
  int32_t rank;
} shape;

static int shape_of(JNIEnv *env, jlongArray dims, shape *out) {
  if (!dims) {
    throw_with(env, PARING_INVALID_ARGUMENT, "expected dimensions, found null");
    return 0;
  }
  out->rank = (*env)->GetArrayLength(env, dims);
  jsize kept = out->rank < PARING_MAX_RANK ? out->rank : PARING_MAX_RANK;
  jlong copy[PARING_MAX_RANK];
  (*env)->GetLongArrayRegion(env, dims, 0, kept, copy);
  for (jsize i = 0; i < kept; i++) out->dims[i] = copy[i];
  return !(*env)->ExceptionCheck(env);
}

static jlongArray longs_of(JNIEnv *env, const jlong *values, jsize n) {
  jlongArray out = (*env)->NewLongArray(env, n);
  if (out) (*env)->SetLongArrayRegion(env, out, 0, n, values);
  return out;
}

/* Calls `use` with the text of an array, and throws where that fails. */
typedef paring_status (*text_fn)(const char *text, void *arg);
static int with_text(JNIEnv *env, jbyteArray array, text_fn use, void *arg) {
  jbyte *text = array ? (*env)->GetByteArrayElements(env, array, NULL) : NULL;
  if (!text) {
    if (!array) throw_with(env, PARING_INVALID_ARGUMENT, "expected text, found null");
    return 0;
  }
  paring_status status = use((const char *)text, arg);
  (*env)->ReleaseByteArrayElements(env, array, text, JNI_ABORT);
  return went_well(env, status);
}

/* ---- options */

typedef struct {
  JNIEnv *env;
  paring_options *options;
  const char *key;
  jbyteArray value;
} setting;

static paring_status set_value(const char *value, void *arg) {
  setting *s = arg;
  return paring_options_set(s->options, s->key, value);
}

/* What with_text throws for the value stays; the key only passes it on. */
static paring_status set_key(const char *key, void *arg) {
  setting *s = arg;
  s->key = key;
  with_text(s->env, s->value, set_value, s);
  return PARING_OK;
}

/* The options that an array of keys and values in turn stands for; NULL for none. Whether that went well. */
static int options_of(JNIEnv *env, jobjectArray settings, paring_options **out) {
  *out = NULL;
  if (!settings) return 1;
  if (!went_well(env, paring_options_new(out))) return 0;
  jsize n = (*env)->GetArrayLength(env, settings);
  for (jsize i = 0; i + 1 < n && !(*env)->ExceptionCheck(env); i += 2) {
    jbyteArray key = (*env)->GetObjectArrayElement(env, settings, i);
    setting s = {env, *out, NULL, (*env)->GetObjectArrayElement(env, settings, i + 1)};
    with_text(env, key, set_key, &s);
    (*env)->DeleteLocalRef(env, key);
    (*env)->DeleteLocalRef(env, s.value);
  }
  if (!(*env)->ExceptionCheck(env)) return 1;
  paring_options_free(*out);
  *out = NULL;
  return 0;
}

/* ---- models */

/* The handle of Java for one of the library. */
static jlong number_of(const void *handle) { return (jlong)(uintptr_t)handle; }
static paring_model *model_of(jlong number) { return (paring_model *)(uintptr_t)number; }
static paring_session *session_of(jlong number) { return (paring_session *)(uintptr_t)number; }

typedef struct {
  paring_options *options;
  paring_model *model;
} opening;

static paring_status open_file(const char *path, void *arg) {
  opening *o = arg;
  return paring_model_load_file(path, o->options, &o->model);
}

METHOD(jlong, Model, openFile)(JNIEnv *env, jclass class, jbyteArray path, jobjectArray settings) {
  (void)class;
  opening o = {NULL, NULL};
  if (!options_of(env, settings, &o.options)) return 0;
  with_text(env, path, open_file, &o);
  paring_options_free(o.options);
  return number_of(o.model);
}

METHOD(jlong, Model, openMemory)
(JNIEnv *env, jclass class, jobject buffer, jint position, jint length, jobjectArray settings) {
  (void)class;
  opening o = {NULL, NULL};
  void *data = data_of(env, buffer, position);
  if (!data || !options_of(env, settings, &o.options)) return 0;
  went_well(env, paring_model_load_borrowed(data, (size_t)length, o.options, &o.model));
  paring_options_free(o.options);
  return number_of(o.model);
}

METHOD(void, Model, free)(JNIEnv *env, jclass class, jlong model) {
  (void)env, (void)class;
  paring_model_free(model_of(model));
}

METHOD(jint, Model, count)(JNIEnv *env, jclass class, jlong model, jint direction) {
  (void)class;
  size_t n = 0;
  went_well(env, paring_model_io_count(model_of(model), direction, &n));
  return (jint)n;
}

METHOD(jbyteArray, Model, name)(JNIEnv *env, jclass class, jlong model, jint direction, jint index) {
  (void)class;
  paring_tensor_info info;
  if (!went_well(env, paring_model_io_info(model_of(model), direction, (size_t)index, &info))) return NULL;
  return bytes_of(env, info.name);
}

METHOD(jlongArray, Model, describe)(JNIEnv *env, jclass class, jlong model, jint direction, jint index) {
  (void)class;
  paring_tensor_info info;
  if (!went_well(env, paring_model_io_info(model_of(model), direction, (size_t)index, &info))) return NULL;
  jlong all[2 + PARING_MAX_RANK] = {info.dtype, info.rank};
  jsize n = 2;
  for (int32_t i = 0; i < info.rank && i < PARING_MAX_RANK; i++) all[n++] = info.dims[i];
  return longs_of(env, all, n);
}

/* Text that a call of the library copies out. */
typedef struct {
  JNIEnv *env;
  jlong of;
  jbyteArray text;
} copying;

typedef paring_status (*copy_fn)(jlong of, const char *key, char *buf, size_t cap, size_t *need);

/* What `copy` copies out, in an array. */
static paring_status copied(copying *c, copy_fn copy, const char *key) {
  size_t need = 0;
  paring_status status = copy(c->of, key, NULL, 0, &need);
  if (status != PARING_OK) return status;
  jbyteArray out = (*c->env)->NewByteArray(c->env, (jsize)need);
  jbyte *room = out ? (*c->env)->GetByteArrayElements(c->env, out, NULL) : NULL;
  if (!room) return PARING_OK; /* Java has thrown. */
  status = copy(c->of, key, (char *)room, need, &need);
  (*c->env)->ReleaseByteArrayElements(c->env, out, room, 0);
  c->text = out;
  return status;
}

static paring_status copy_metadata(jlong model, const char *key, char *buf, size_t cap, size_t *need) {
  return paring_model_metadata(model_of(model), key, buf, cap, need);
}

static paring_status metadata_of(const char *key, void *arg) { return copied(arg, copy_metadata, key); }

METHOD(jbyteArray, Model, metadata)(JNIEnv *env, jclass class, jlong model, jbyteArray key) {
  (void)class;
  copying c = {env, model, NULL};
  return with_text(env, key, metadata_of, &c) ? c.text : NULL;
}

METHOD(jlong, Model, newSession)(JNIEnv *env, jobject self, jlong model, jobjectArray settings) {
  (void)self;
  paring_options *options;
  paring_session *session = NULL;
  if (!options_of(env, settings, &options)) return 0;
  went_well(env, paring_session_new(model_of(model), options, &session));
  paring_options_free(options);
  return number_of(session);
}

/* ---- sessions */

METHOD(void, Session, free)(JNIEnv *env, jclass class, jlong session) {
  (void)env, (void)class;
  paring_session_free(session_of(session));
}

METHOD(void, Session, cancel)(JNIEnv *env, jclass class, jlong session) {
  (void)class;
  went_well(env, paring_session_cancel(session_of(session)));
}

METHOD(void, Session, resize)(JNIEnv *env, jobject self, jlong session, jint input, jlongArray dims) {
  (void)self;
  shape s;
  if (!shape_of(env, dims, &s)) return;
  went_well(env, paring_session_resize(session_of(session), (size_t)input, s.dims, s.rank));
}

METHOD(void, Session, setInput)
(JNIEnv *env, jobject self, jlong session, jint input, jobject data, jint position, jint length, jint dtype,
 jlongArray dims) {
  (void)self;
  shape s;
  void *from = data_of(env, data, position);
  if (!from || !shape_of(env, dims, &s)) return;
  paring_tensor tensor = {from, (size_t)length, s.dims, s.rank, dtype};
  went_well(env, paring_session_set_input(session_of(session), (size_t)input, &tensor));
}

METHOD(void, Session, run)(JNIEnv *env, jobject self, jlong session) {
  (void)self;
  went_well(env, paring_session_run(session_of(session)));
}

METHOD(void, Session, warmup)(JNIEnv *env, jobject self, jlong session) {
  (void)self;
  went_well(env, paring_warmup(session_of(session)));
}

static int output_of(JNIEnv *env, jlong session, jint output, paring_tensor *view) {
  return went_well(env, paring_session_output(session_of(session), (size_t)output, view));
}

METHOD(jint, Session, outputBytes)(JNIEnv *env, jobject self, jlong session, jint output) {
  (void)self;
  paring_tensor view;
  if (!output_of(env, session, output, &view)) return 0;
  if (view.bytes <= INT32_MAX) return (jint)view.bytes;
  throw_with(env, PARING_LIMIT, "the result has 2 GiB or more, which no buffer holds");
  return 0;
}

METHOD(void, Session, readOutput)
(JNIEnv *env, jobject self, jlong session, jint output, jobject into, jint position, jint length) {
  (void)self;
  paring_tensor view;
  if (!output_of(env, session, output, &view)) return;
  if ((size_t)length < view.bytes) {
    throw_with(env, PARING_INVALID_ARGUMENT, "the buffer has too little room between position and limit: see outputDims");
    return;
  }
  char *to = view.bytes ? data_of(env, into, position) : NULL;
  if (to) memcpy(to, view.data, view.bytes);
}

METHOD(jlongArray, Session, outputDims)(JNIEnv *env, jobject self, jlong session, jint output) {
  (void)self;
  paring_tensor view;
  jlong dims[PARING_MAX_RANK];
  if (!output_of(env, session, output, &view)) return NULL;
  for (int32_t i = 0; i < view.rank; i++) dims[i] = view.dims[i];
  return longs_of(env, dims, view.rank);
}

METHOD(void, Session, bindOutput)
(JNIEnv *env, jobject self, jlong session, jint output, jobject into, jint position, jint length, jint dtype) {
  (void)self;
  void *to = data_of(env, into, position);
  if (!to) return;
  paring_tensor tensor = {to, (size_t)length, NULL, 0, dtype};
  went_well(env, paring_session_bind_output(session_of(session), (size_t)output, &tensor));
}

METHOD(jlongArray, Session, memory)(JNIEnv *env, jobject self, jlong session) {
  (void)self;
  size_t arena, weights;
  if (!went_well(env, paring_session_memory(session_of(session), &arena, &weights))) return NULL;
  jlong both[2] = {(jlong)arena, (jlong)weights};
  return longs_of(env, both, 2);
}

static paring_status copy_profile(jlong session, const char *key, char *buf, size_t cap, size_t *need) {
  (void)key;
  return paring_session_profile_json(session_of(session), buf, cap, need);
}

METHOD(jbyteArray, Session, profile)(JNIEnv *env, jobject self, jlong session) {
  (void)self;
  copying c = {env, session, NULL};
  return went_well(env, copied(&c, copy_profile, NULL)) ? c.text : NULL;
}
