/* What the plugin asks of the system, as the module "system" for QuickJS: files here, requests in exchange.c. Everything blocks. */
#define _GNU_SOURCE
#include "system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A descriptor's content until its end. */
static int read_all(int fd, Text *text) {
  for (;;) {
    if (text_room(text) < 0) return -1;
    ssize_t n = read(fd, text->bytes + text->length, text->space - text->length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) return 0;
    text->length += n;
  }
}

static JSValue js_read(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  const char *path = JS_ToCString(ctx, argv[0]);
  if (!path) return JS_EXCEPTION;
  Text text = {0};
  JSValue result;
  int fd = *path ? open(path, O_RDONLY | O_CLOEXEC) : 0;
  if (fd < 0 || read_all(fd, &text) < 0) {
    result = fail(ctx, "read", path);
    free(text.bytes);
  } else
    result = take(ctx, &text);
  if (fd > 0) close(fd);
  JS_FreeCString(ctx, path);
  return result;
}

static JSValue js_append(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  size_t length, done = 0;
  const char *path = JS_ToCString(ctx, argv[0]), *text = JS_ToCStringLen(ctx, &length, argv[1]);
  if (!path || !text) return JS_EXCEPTION;
  int fd = *path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : 1;
  JSValue result = JS_UNDEFINED;
  while (fd >= 0 && done < length) {
    ssize_t n = write(fd, text + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    done += n;
  }
  if (fd < 0 || done < length) result = fail(ctx, "write", path);
  if (fd > 1) close(fd);
  JS_FreeCString(ctx, path);
  JS_FreeCString(ctx, text);
  return result;
}

static JSValue js_size(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  const char *path = JS_ToCString(ctx, argv[0]);
  if (!path) return JS_EXCEPTION;
  struct stat found;
  JSValue result = JS_NewInt64(ctx, stat(path, &found) < 0 ? 0 : found.st_size);
  JS_FreeCString(ctx, path);
  return result;
}

static JSValue js_rename(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  const char *from = JS_ToCString(ctx, argv[0]), *to = JS_ToCString(ctx, argv[1]);
  if (!from || !to) return JS_EXCEPTION;
  JSValue result = rename(from, to) < 0 ? fail(ctx, "rename", from) : JS_UNDEFINED;
  JS_FreeCString(ctx, from);
  JS_FreeCString(ctx, to);
  return result;
}

static JSValue js_environment(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  const char *name = JS_ToCString(ctx, argv[0]);
  if (!name) return JS_EXCEPTION;
  const char *value = getenv(name);
  JS_FreeCString(ctx, name);
  return value ? JS_NewString(ctx, value) : JS_UNDEFINED;
}

static JSValue js_pause(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  int64_t ms;
  if (JS_ToInt64(ctx, &ms, argv[0])) return JS_EXCEPTION;
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) < 0 && errno == EINTR)
    ;
  return JS_UNDEFINED;
}

/* Ends at once: a promise that nobody awaits must not keep a runtime waiting. */
static JSValue js_exit(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  int code = 1;
  JS_ToInt32(ctx, &code, argv[0]);
  _exit(code);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("read", 1, js_read),
    JS_CFUNC_DEF("append", 2, js_append),
    JS_CFUNC_DEF("size", 1, js_size),
    JS_CFUNC_DEF("rename", 2, js_rename),
    JS_CFUNC_DEF("environment", 1, js_environment),
    JS_CFUNC_DEF("pause", 1, js_pause),
    JS_CFUNC_DEF("exit", 1, js_exit),
    JS_CFUNC_DEF("overUnix", 3, js_over_unix),
    JS_CFUNC_DEF("overTls", 5, js_over_tls),
};

static int define(JSContext *ctx, JSModuleDef *module) {
  return JS_SetModuleExportList(ctx, module, functions, sizeof functions / sizeof *functions);
}

JSModuleDef *js_init_module_system(JSContext *ctx, const char *name) {
  JSModuleDef *module = JS_NewCModule(ctx, name, define);
  if (module) JS_AddModuleExportList(ctx, module, functions, sizeof functions / sizeof *functions);
  return module;
}
