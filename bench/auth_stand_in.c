/* Answers GET /auth/v1/user in the place of Supabase Auth, for measuring with no token cached.
 *
 *   auth_stand_in PORT TOKEN=USER_ID...
 *
 * It listens on 127.0.0.1 with one thread. Any other token gets 401. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 4096, LONGEST_REQUEST = 32768, EVENTS = 256 };

struct connection {
    size_t length;
    char text[LONGEST_REQUEST + 1];
};

static struct connection *connections[MOST_CONNECTIONS];
static int epoll_fd;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The id of the user whose token the request carries, or null. */
static const char *user_of(const char *request, char **users) {
    const char *header = strcasestr(request, "\r\nauthorization: bearer ");
    if (!header)
        return NULL;
    const char *token = header + strlen("\r\nauthorization: bearer ");
    size_t length = strcspn(token, "\r");
    for (; *users; users++) {
        const char *end = strchr(*users, '=');
        if (end && (size_t)(end - *users) == length && memcmp(*users, token, length) == 0)
            return end + 1;
    }
    return NULL;
}

static int answer(int fd, const char *request, char **users) {
    const char *user = user_of(request, users);
    char body[512], text[1024];
    int length = user
        ? snprintf(body, sizeof body,
                   "{\"id\":\"%s\",\"aud\":\"authenticated\",\"role\":\"authenticated\","
                   "\"email\":\"user@example.com\",\"app_metadata\":{\"provider\":\"email\"},"
                   "\"user_metadata\":{},\"is_anonymous\":false}", user)
        : snprintf(body, sizeof body, "{\"code\":401,\"error_code\":\"bad_jwt\",\"msg\":\"invalid JWT\"}");
    length = snprintf(text, sizeof text,
                      "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
                      user ? "200 OK" : "401 Unauthorized", length, body);
    return write(fd, text, (size_t)length) == length;
}

static void hang_up(int fd) {
    free(connections[fd]);
    connections[fd] = NULL;
    close(fd);
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= MOST_CONNECTIONS || !(connections[fd] = calloc(1, sizeof **connections))) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
            fail("epoll_ctl");
    }
}

static void serve(int fd, char **users) {
    struct connection *connection = connections[fd];
    ssize_t got = read(fd, connection->text + connection->length, LONGEST_REQUEST - connection->length);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        hang_up(fd);
        return;
    }
    connection->length += (size_t)got;
    connection->text[connection->length] = 0;
    char *end;
    while ((end = strstr(connection->text, "\r\n\r\n"))) {
        size_t used = (size_t)(end + 4 - connection->text);
        end[2] = 0;
        if (!answer(fd, connection->text, users)) {
            hang_up(fd);
            return;
        }
        connection->length -= used;
        memmove(connection->text, connection->text + used, connection->length + 1);
    }
    if (connection->length == LONGEST_REQUEST)
        hang_up(fd);
}

int main(int count, char **arguments) {
    if (count < 3) {
        fprintf(stderr, "usage: auth_stand_in PORT TOKEN=USER_ID...\n");
        return 64;
    }
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(arguments[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024))
        fail("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_fd = epoll_create1(0);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event))
        fail("epoll");
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                serve(events[i].data.fd, arguments + 2);
        }
    }
}
