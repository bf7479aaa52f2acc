/* What both files of the module "system" use. Errors are thrown with the name of errno, as Node words them. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <errno.h>
#include <quickjs.h>
#include <stdlib.h>
#include <string.h>

/* Largest file or answer, bytes: a pod of Kubernetes has at most 1.5 MB. */
#define MOST (16 << 20)

typedef struct {
  char *bytes;
  size_t length, space;
} Text;

static inline int text_room(Text *text) {
  if (text->length >= MOST) {
    errno = EMSGSIZE;
    return -1;
  }
  if (text->space - text->length < 4096) {
    size_t space = text->space ? text->space * 2 : 65536;
    char *bytes = realloc(text->bytes, space);
    if (!bytes) return -1;
    text->bytes = bytes;
    text->space = space;
  }
  return 0;
}

static inline JSValue fail(JSContext *ctx, const char *call, const char *subject) {
  const char *name = strerrorname_np(errno);
  return JS_ThrowInternalError(ctx, "%s %s %s", call, name ? name : "EUNKNOWN", subject);
}

static inline JSValue take(JSContext *ctx, Text *text) {
  JSValue string = JS_NewStringLen(ctx, text->bytes ? text->bytes : "", text->length);
  free(text->bytes);
  return string;
}

/* overUnix(path, request, ms) and overTls(host, port, ca, request, ms): everything that is answered until the other side closes. */
JSValue js_over_unix(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv);
JSValue js_over_tls(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv);

#endif
