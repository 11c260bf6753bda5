/* The handler of guard.pxd: async-signal-safe, a fixed table, no lock. */
#ifndef PYNORI_GUARD_H
#define PYNORI_GUARD_H

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define PYN_GUARD_MAPPINGS_MAX 8192

typedef struct {
    uintptr_t base;                 /* 0: free; 1: being filled */
    size_t size;
    const char *name;
} pyn_guard_mapping;

static pyn_guard_mapping pyn_guard_mappings[PYN_GUARD_MAPPINGS_MAX];
static struct sigaction pyn_guard_previous;
static pthread_once_t pyn_guard_once = PTHREAD_ONCE_INIT;

static void pyn_guard_say(const char *text) { if (write(2, text, strlen(text)) < 0) return; }

static void pyn_guard_say_number(uint64_t number) {
    char digits[24];
    int position = sizeof digits - 1;
    digits[position] = 0;
    do { digits[--position] = (char)('0' + number % 10); number /= 10; } while (number != 0);
    pyn_guard_say(digits + position);
}

static void pyn_guard_handle(int signal_number, siginfo_t *info, void *context) {
    uintptr_t address = (uintptr_t)info->si_addr;
    for (int i = 0; i < PYN_GUARD_MAPPINGS_MAX; i++) {
        uintptr_t base = __atomic_load_n(&pyn_guard_mappings[i].base, __ATOMIC_ACQUIRE);
        if (base > 1 && address >= base && address - base < pyn_guard_mappings[i].size) {
            pyn_guard_say("pynori: ");
            pyn_guard_say(pyn_guard_mappings[i].name);
            pyn_guard_say(": the disk cannot give the bytes at offset ");
            pyn_guard_say_number(address - base);
            pyn_guard_say(" (file cut short, or a bad sector); the process ends\n");
            signal(SIGBUS, SIG_DFL);
            raise(SIGBUS);
            return;
        }
    }
    if (pyn_guard_previous.sa_flags & SA_SIGINFO) {
        pyn_guard_previous.sa_sigaction(signal_number, info, context);
    } else if (pyn_guard_previous.sa_handler != SIG_DFL && pyn_guard_previous.sa_handler != SIG_IGN) {
        pyn_guard_previous.sa_handler(signal_number);
    } else {
        signal(SIGBUS, SIG_DFL);
        raise(SIGBUS);
    }
}

static void pyn_guard_install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = pyn_guard_handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &pyn_guard_previous);
}

static void pyn_guard_add(const void *base, size_t size, const char *name) {
    pthread_once(&pyn_guard_once, pyn_guard_install);
    for (int i = 0; i < PYN_GUARD_MAPPINGS_MAX; i++) {
        uintptr_t expected = 0;
        if (__atomic_compare_exchange_n(&pyn_guard_mappings[i].base, &expected, (uintptr_t)1, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            pyn_guard_mappings[i].size = size;
            pyn_guard_mappings[i].name = name;
            __atomic_store_n(&pyn_guard_mappings[i].base, (uintptr_t)base, __ATOMIC_RELEASE);
            return;
        }
    }
}

static void pyn_guard_remove(const void *base) {
    for (int i = 0; i < PYN_GUARD_MAPPINGS_MAX; i++) {
        if (__atomic_load_n(&pyn_guard_mappings[i].base, __ATOMIC_ACQUIRE) == (uintptr_t)base) {
            __atomic_store_n(&pyn_guard_mappings[i].base, (uintptr_t)0, __ATOMIC_RELEASE);
            return;
        }
    }
}

#endif
