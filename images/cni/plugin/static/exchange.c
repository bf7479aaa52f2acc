/* One request over a UNIX socket or over TLS. Everything blocks; each exchange has one deadline for all its steps. */
#define _GNU_SOURCE
#include "system.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Lets the socket's next call take what is left of the time. */
static int give_time(int fd, int64_t deadline) {
  int64_t left = deadline - now_ms();
  if (left <= 0) {
    errno = ETIMEDOUT;
    return -1;
  }
  struct timeval time = {left / 1000, left % 1000 * 1000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

/* A socket whose time ran out says EAGAIN, or EINPROGRESS when it was connecting. */
static JSValue fail_in_time(JSContext *ctx, const char *call, const char *subject, int64_t ms, int64_t deadline) {
  if (now_ms() >= deadline || errno == ETIMEDOUT) return JS_ThrowInternalError(ctx, "no answer within %d ms", (int)ms);
  return fail(ctx, call, subject);
}

JSValue js_over_unix(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  size_t length, done = 0;
  int64_t ms;
  const char *path = JS_ToCString(ctx, argv[0]), *request = JS_ToCStringLen(ctx, &length, argv[1]);
  if (!path || !request || JS_ToInt64(ctx, &ms, argv[2])) return JS_EXCEPTION;
  int64_t deadline = now_ms() + ms;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  Text text = {0};
  const char *call = "connect";
  int ok = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (strlen(path) >= sizeof address.sun_path)
    errno = ENAMETOOLONG;
  else if (fd >= 0 && give_time(fd, deadline) == 0) {
    strcpy(address.sun_path, path);
    ok = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  }
  while (ok && done < length) {
    call = "write";
    ssize_t n = give_time(fd, deadline) < 0 ? -1 : send(fd, request + done, length - done, MSG_NOSIGNAL);
    if (n > 0)
      done += n;
    else
      ok = n < 0 && errno == EINTR;
  }
  while (ok) {
    call = "read";
    ssize_t n = text_room(&text) < 0 || give_time(fd, deadline) < 0 ? -1 : recv(fd, text.bytes + text.length, text.space - text.length, 0);
    if (n == 0) break;
    if (n > 0)
      text.length += n;
    else
      ok = errno == EINTR;
  }
  JSValue result = ok ? take(ctx, &text) : fail_in_time(ctx, call, path, ms, deadline);
  if (!ok) free(text.bytes);
  if (fd >= 0) close(fd);
  JS_FreeCString(ctx, path);
  JS_FreeCString(ctx, request);
  return result;
}

static int connect_tcp(const char *host, const char *port, int64_t deadline, const char **problem) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
  int error = getaddrinfo(host, port, &hints, &found);
  if (error) {
    *problem = gai_strerror(error);
    return -1;
  }
  int fd = -1;
  for (struct addrinfo *a = found; a; a = a->ai_next) {
    fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && give_time(fd, deadline) == 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) break;
    if (fd >= 0) close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  int one = 1;
  if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

/* The CA's certificates are all that is trusted; without any, those of the system. */
static int trust(SSL_CTX *tls, const char *ca) {
  if (!*ca) return SSL_CTX_set_default_verify_paths(tls);
  BIO *pem = BIO_new_mem_buf(ca, -1);
  X509_STORE *store = SSL_CTX_get_cert_store(tls);
  int count = 0;
  for (X509 *certificate; (certificate = PEM_read_bio_X509(pem, NULL, NULL, NULL)); count++) {
    X509_STORE_add_cert(store, certificate);
    X509_free(certificate);
  }
  BIO_free(pem);
  ERR_clear_error();
  return count > 0;
}

/* Who the certificate must be for: an address of its own kind, or a name, which is asked for too. */
static int expect_host(SSL *ssl, const char *host) {
  struct in6_addr address;
  X509_VERIFY_PARAM *verify = SSL_get0_param(ssl);
  if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
    return X509_VERIFY_PARAM_set1_ip_asc(verify, host);
  return SSL_set_tlsext_host_name(ssl, host) && X509_VERIFY_PARAM_set1_host(verify, host, 0);
}

JSValue js_over_tls(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv) {
  size_t length;
  int64_t ms;
  const char *host = JS_ToCString(ctx, argv[0]), *port = JS_ToCString(ctx, argv[1]), *ca = JS_ToCString(ctx, argv[2]);
  const char *request = JS_ToCStringLen(ctx, &length, argv[3]), *problem = NULL;
  if (!host || !port || !ca || !request || JS_ToInt64(ctx, &ms, argv[4])) return JS_EXCEPTION;
  int64_t deadline = now_ms() + ms;
  Text text = {0};
  JSValue result;
  SSL *ssl = NULL;
  /* No configuration file: the node's is not ours. */
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
  SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
  errno = 0;
  int fd = connect_tcp(host, port, deadline, &problem);
  if (fd < 0) {
    result = problem ? JS_ThrowInternalError(ctx, "%s: %s", host, problem) : fail_in_time(ctx, "connect", host, ms, deadline);
    goto end;
  }
  SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
  if (!trust(tls, ca)) {
    result = JS_ThrowInternalError(ctx, "the CA of the API server is no PEM certificate");
    goto end;
  }
  ssl = SSL_new(tls);
  int n = expect_host(ssl, host) && SSL_set_fd(ssl, fd) && give_time(fd, deadline) == 0 ? SSL_connect(ssl) : 0;
  if (n == 1) {
    give_time(fd, deadline);
    n = SSL_write(ssl, request, length);
  }
  while (n > 0) {
    n = text_room(&text) < 0 || give_time(fd, deadline) < 0 ? -1 : SSL_read(ssl, text.bytes + text.length, text.space - text.length);
    if (n > 0) text.length += n;
  }
  /* Anything but the other side's goodbye may be an answer that was cut short. */
  if (SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN)
    result = take(ctx, &text);
  else {
    long verdict = SSL_get_verify_result(ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (verdict != X509_V_OK)
      result = JS_ThrowInternalError(ctx, "certificate of %s: %s", host, X509_verify_cert_error_string(verdict));
    else if (reason)
      result = JS_ThrowInternalError(ctx, "TLS with %s: %s", host, reason);
    else
      result = fail_in_time(ctx, "read", host, ms, deadline);
    free(text.bytes);
  }
end:
  SSL_free(ssl);
  SSL_CTX_free(tls);
  if (fd >= 0) close(fd);
  JS_FreeCString(ctx, host);
  JS_FreeCString(ctx, port);
  JS_FreeCString(ctx, ca);
  JS_FreeCString(ctx, request);
  return result;
}
