#include "runner/jail/gate.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAITING_MAX 64 /* connections that nobody has accepted yet */

static int send_socket(int fd, int socket)
{
    char byte = 0;
    char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof socket);
    memcpy(CMSG_DATA(part), &socket, sizeof socket);
    return sendmsg(fd, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int gate_open(int fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int gate = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = gate < 0 || bind(gate, (struct sockaddr *)&at, sizeof at) ||
                 listen(gate, WAITING_MAX) || getsockname(gate, (struct sockaddr *)&at, &len) ||
                 send_socket(fd, gate);
    int code = errno;
    if (gate >= 0)
        close(gate);
    close(fd);
    errno = code;
    return failed ? -1 : ntohs(at.sin_port);
}
