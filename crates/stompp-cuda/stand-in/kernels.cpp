// The kernels as C++ functions, and a function that calls one by name with the arguments of a launch.
#include "device.h"
#include "stand_in.h"
#include <cstring>
#include <utility>

using std::exp;
using std::fabs;
using std::log;
using std::sqrt;

#include "all_kernels.inc"  // written by build.rs: the sources, one after the other

template <class... Arguments, std::size_t... places>
static void call(void (*kernel)(Arguments...), void** arguments, std::index_sequence<places...>) {
    kernel(*static_cast<std::remove_reference_t<Arguments>*>(arguments[places])...);
}

template <class... Arguments>
static void call(void (*kernel)(Arguments...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<Arguments...>());
}

const Kernel* find_kernel(const char* name) {
    static const Kernel table[] = {
#define ENTRY(name, barriers) {#name, barriers, [](void** arguments) { call(name, arguments); }},
#include "kernel_names.inc"  // written by build.rs: ENTRY(name, whether it has barriers), a line each
    };
    for (const Kernel& kernel : table)
        if (std::strcmp(kernel.name, name) == 0) return &kernel;
    return nullptr;
}
