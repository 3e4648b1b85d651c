// The functions of NCCL that this crate calls. Each process has a connection to process 0 (a socket whose path is the id), which sends
// everything to everyone. A group of processes may also be threads.
#include "stand_in.h"
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {
enum { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6 };
enum { BYTES = 1, FLOATS = 7, SUM = 0 };
const int PATIENCE_SECONDS = 30;

struct Id {
    char path[128];
};

typedef std::vector<char> Message;

struct Communicator {
    int rank, size;
    std::vector<int> sockets;  // of process 0: one for each other process; of another process: the one to process 0
    int listening = -1;
    std::string path;
};

// A send or receive of an open group.
struct Transfer {
    Communicator* of;
    bool sends;
    char* data;
    size_t length;
    int peer;
};
thread_local std::vector<Transfer> group;
thread_local int open_groups = 0;

bool send_all(int socket, const void* data, size_t length) {
    const char* bytes = static_cast<const char*>(data);
    while (length > 0) {
        ssize_t sent = send(socket, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes += sent, length -= size_t(sent);
    }
    return true;
}
bool receive_all(int socket, void* data, size_t length) {
    char* bytes = static_cast<char*>(data);
    while (length > 0) {
        ssize_t received = recv(socket, bytes, length, 0);
        if (received <= 0) return false;
        bytes += received, length -= size_t(received);
    }
    return true;
}
bool send_message(int socket, const Message& message) {
    size_t length = message.size();
    return send_all(socket, &length, sizeof length) && send_all(socket, message.data(), length);
}
bool receive_message(int socket, Message& message) {
    size_t length;
    if (!receive_all(socket, &length, sizeof length)) return false;
    message.resize(length);
    return receive_all(socket, message.data(), length);
}

// Replaces `messages`, of which this process has written its own, by those of all processes.
bool exchange(Communicator& c, std::vector<Message>& messages) {
    if (c.rank == 0) {
        for (int rank = 1; rank < c.size; ++rank)
            if (!receive_message(c.sockets[rank - 1], messages[rank])) return false;
        for (int socket : c.sockets)
            for (const Message& message : messages)
                if (!send_message(socket, message)) return false;
        return true;
    }
    if (!send_message(c.sockets[0], messages[c.rank])) return false;
    for (Message& message : messages)
        if (!receive_message(c.sockets[0], message)) return false;
    return true;
}

int run_group() {
    if (group.empty()) return SUCCESS;
    Communicator& c = *group.front().of;
    std::vector<Message> messages(c.size);
    auto append = [&](const void* data, size_t length) {
        const char* bytes = static_cast<const char*>(data);
        messages[c.rank].insert(messages[c.rank].end(), bytes, bytes + length);
    };
    for (const Transfer& transfer : group) {
        if (!transfer.sends) continue;
        append(&transfer.peer, sizeof transfer.peer);
        append(&transfer.length, sizeof transfer.length);
        append(transfer.data, transfer.length);
    }
    if (!exchange(c, messages)) return REMOTE_ERROR;
    std::vector<size_t> read(c.size);
    for (const Transfer& transfer : group) {
        if (transfer.sends) continue;
        const Message& message = messages[transfer.peer];
        for (bool found = false; !found;) {
            int peer;
            size_t length, &at = read[transfer.peer];
            if (at + sizeof peer + sizeof length > message.size()) return INVALID_USAGE;  // nobody sends it: a real NCCL would wait
            std::memcpy(&peer, &message[at], sizeof peer);
            std::memcpy(&length, &message[at + sizeof peer], sizeof length);
            at += sizeof peer + sizeof length;
            if (peer == c.rank) {
                if (length != transfer.length) return INVALID_USAGE;
                std::memcpy(transfer.data, &message[at], length);
                found = true;
            }
            at += length;
        }
    }
    return SUCCESS;
}

int add_to_group(bool sends, void* data, size_t count, int type, int peer, void* comm) {
    Communicator* c = static_cast<Communicator*>(comm);
    if (type != BYTES || peer < 0 || peer >= c->size || !is_device_memory(data, count)) return INVALID_ARGUMENT;
    group.push_back({c, sends, static_cast<char*>(data), count, peer});
    if (open_groups > 0) return SUCCESS;
    int status = run_group();
    return group.clear(), status;
}

// A socket that is connected to process 0, or -1.
int connect_to(const sockaddr_un& address) {
    for (int tries = 0; tries < PATIENCE_SECONDS * 100; ++tries) {
        int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return connection;
        close(connection);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
}
}  // namespace

extern "C" {

const char* ncclGetErrorString(int status) { return status == REMOTE_ERROR ? "remote process exited" : "an error of the fake NCCL"; }

int ncclGetUniqueId(Id* id) {
    static int made = 0;
    std::memset(id, 0, sizeof *id);
    std::snprintf(id->path, 100, "/tmp/stompp-nccl-%d-%d", int(getpid()), __sync_add_and_fetch(&made, 1));
    return SUCCESS;
}

int ncclCommInitRank(void** made, int size, Id id, int rank) {
    if (rank < 0 || rank >= size || std::strncmp(id.path, "/tmp/stompp-nccl-", 17) != 0) return INVALID_ARGUMENT;
    Communicator* c = new Communicator;
    *made = c;
    c->rank = rank, c->size = size, c->path = id.path;
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, id.path, sizeof address.sun_path - 1);
    if (rank > 0) {
        int connection = connect_to(address);
        if (connection < 0 || !send_all(connection, &rank, sizeof rank)) return SYSTEM_ERROR;
        return c->sockets = {connection}, SUCCESS;
    }
    c->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(c->listening, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(c->listening, size) != 0)
        return SYSTEM_ERROR;
    timeval patience = {PATIENCE_SECONDS, 0};
    setsockopt(c->listening, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    c->sockets.assign(size - 1, -1);
    for (int other = 1; other < size; ++other) {
        int connection = accept(c->listening, nullptr, nullptr), from = 0;
        if (connection < 0 || !receive_all(connection, &from, sizeof from) || from < 1 || from >= size) return SYSTEM_ERROR;
        c->sockets[from - 1] = connection;
    }
    return SUCCESS;
}

int ncclCommDestroy(void* comm) {
    Communicator* c = static_cast<Communicator*>(comm);
    for (int socket : c->sockets) close(socket);
    if (c->listening >= 0) close(c->listening), unlink(c->path.c_str());
    return delete c, SUCCESS;
}
int ncclCommAbort(void* comm) { return ncclCommDestroy(comm); }
int ncclCommGetAsyncError(void*, int* status) { return *status = SUCCESS, SUCCESS; }

int ncclAllGather(const void* from, void* to, size_t count, int type, void* comm, void*) {
    Communicator& c = *static_cast<Communicator*>(comm);
    if (type != BYTES || !is_device_memory(from, count) || !is_device_memory(to, count * c.size)) return INVALID_ARGUMENT;
    std::vector<Message> messages(c.size);
    const char* bytes = static_cast<const char*>(from);
    messages[c.rank].assign(bytes, bytes + count);
    if (!exchange(c, messages)) return REMOTE_ERROR;
    char* place = static_cast<char*>(to);
    for (const Message& message : messages) {
        if (message.size() != count) return INVALID_USAGE;
        std::memcpy(place, message.data(), count);
        place += count;
    }
    return SUCCESS;
}

// Adds in the reverse order of ranks: tests fail if exact sums are computed by it.
int ncclAllReduce(const float* from, float* to, size_t count, int type, int op, void* comm, void*) {
    Communicator& c = *static_cast<Communicator*>(comm);
    bool there = is_device_memory(from, 4 * count) && is_device_memory(to, 4 * count);
    if (type != FLOATS || op != SUM || !there) return INVALID_ARGUMENT;
    std::vector<Message> messages(c.size);
    const char* bytes = reinterpret_cast<const char*>(from);
    messages[c.rank].assign(bytes, bytes + 4 * count);
    if (!exchange(c, messages)) return REMOTE_ERROR;
    for (size_t i = 0; i < count; ++i) to[i] = 0.0f;
    for (int rank = c.size - 1; rank >= 0; --rank) {
        if (messages[rank].size() != 4 * count) return INVALID_USAGE;
        for (size_t i = 0; i < count; ++i) {
            float value;
            std::memcpy(&value, &messages[rank][4 * i], 4);
            to[i] += value;
        }
    }
    return SUCCESS;
}

int ncclGroupStart() { return ++open_groups, SUCCESS; }
int ncclGroupEnd() {
    if (open_groups == 0) return INVALID_USAGE;
    if (--open_groups > 0) return SUCCESS;
    int status = run_group();
    return group.clear(), status;
}
int ncclSend(const void* data, size_t count, int type, int peer, void* comm, void*) {
    return add_to_group(true, const_cast<void*>(data), count, type, peer, comm);
}
int ncclRecv(void* data, size_t count, int type, int peer, void* comm, void*) {
    return add_to_group(false, data, count, type, peer, comm);
}

}  // extern "C"
