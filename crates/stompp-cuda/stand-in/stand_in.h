// The functions that the parts of the fake driver share.
#pragma once

struct Kernel {
    const char* name;
    bool barriers;
    void (*run)(void** arguments);
};

// Null if there is no such kernel.
const Kernel* find_kernel(const char* name);

// Whether all `bytes` bytes from `address` are in one live allocation of the device.
bool is_device_memory(const void* address, unsigned long long bytes);
