"""Threads, locks and waiting for nogil code: the little of pthreads that the engine uses.

Threads started here never run Python and take no signal: the process's handlers stay with the threads of Python. Waits
are against the monotonic clock. A Mutex is held for a few lines; what lasts longer is a flag under a mutex and a
condition, so that it may be given back by another thread than the one that took it.
"""

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <errno.h>
    #include <pthread.h>
    #include <signal.h>
    #include <time.h>

    typedef struct { pthread_mutex_t mutex; } pyn_mutex;
    typedef struct { pthread_cond_t condition; } pyn_condition;
    typedef struct { pthread_t thread; } pyn_thread;

    static inline void pyn_mutex_init(pyn_mutex *m) { pthread_mutex_init(&m->mutex, NULL); }
    static inline void pyn_mutex_destroy(pyn_mutex *m) { pthread_mutex_destroy(&m->mutex); }
    static inline void pyn_mutex_lock(pyn_mutex *m) { pthread_mutex_lock(&m->mutex); }
    static inline void pyn_mutex_unlock(pyn_mutex *m) { pthread_mutex_unlock(&m->mutex); }
    static inline void pyn_condition_init(pyn_condition *c) {
    #ifdef __APPLE__
        pthread_cond_init(&c->condition, NULL);
    #else
        pthread_condattr_t attributes;
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&c->condition, &attributes);
        pthread_condattr_destroy(&attributes);
    #endif
    }
    static inline void pyn_condition_destroy(pyn_condition *c) { pthread_cond_destroy(&c->condition); }
    static inline void pyn_condition_broadcast(pyn_condition *c) { pthread_cond_broadcast(&c->condition); }
    static inline void pyn_condition_wait(pyn_condition *c, pyn_mutex *m) {
        pthread_cond_wait(&c->condition, &m->mutex);
    }
    /* 0 when the time is up */
    static inline int pyn_condition_wait_ms(pyn_condition *c, pyn_mutex *m, uint64_t timeout_ms) {
        struct timespec limit;
    #ifdef __APPLE__
        limit.tv_sec = timeout_ms / 1000;
        limit.tv_nsec = (timeout_ms % 1000) * 1000000;
        return pthread_cond_timedwait_relative_np(&c->condition, &m->mutex, &limit) != ETIMEDOUT;
    #else
        clock_gettime(CLOCK_MONOTONIC, &limit);
        limit.tv_sec += timeout_ms / 1000;
        limit.tv_nsec += (timeout_ms % 1000) * 1000000;
        if (limit.tv_nsec >= 1000000000) { limit.tv_sec += 1; limit.tv_nsec -= 1000000000; }
        return pthread_cond_timedwait(&c->condition, &m->mutex, &limit) != ETIMEDOUT;
    #endif
    }
    static inline uint64_t pyn_now_ms(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }
    static inline void pyn_sleep_us(uint64_t pause_us) {
        struct timespec pause = { pause_us / 1000000, (pause_us % 1000000) * 1000 };
        nanosleep(&pause, NULL);
    }
    static inline int pyn_thread_start(pyn_thread *t, void *(*body)(void *), void *argument) {
        sigset_t all, before;
        int result;
        sigfillset(&all);
        sigdelset(&all, SIGBUS);
        sigdelset(&all, SIGSEGV);
        sigdelset(&all, SIGABRT);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        result = pthread_create(&t->thread, NULL, body, argument);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return result;
    }
    static inline void pyn_thread_join(pyn_thread *t) { pthread_join(t->thread, NULL); }
    /* A small number of the calling thread, for spreading threads over shared arrays. */
    static inline uint32_t pyn_thread_number(void) {
        static uint32_t last;
        static __thread uint32_t mine;
        if (mine == 0) mine = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
        return mine;
    }
    """
    ctypedef struct Mutex "pyn_mutex":
        pass
    ctypedef struct Condition "pyn_condition":
        pass
    ctypedef struct Thread "pyn_thread":
        pass

    void mutex_init "pyn_mutex_init"(Mutex* mutex) noexcept nogil
    void mutex_destroy "pyn_mutex_destroy"(Mutex* mutex) noexcept nogil
    void mutex_lock "pyn_mutex_lock"(Mutex* mutex) noexcept nogil
    void mutex_unlock "pyn_mutex_unlock"(Mutex* mutex) noexcept nogil
    void condition_init "pyn_condition_init"(Condition* condition) noexcept nogil
    void condition_destroy "pyn_condition_destroy"(Condition* condition) noexcept nogil
    void condition_broadcast "pyn_condition_broadcast"(Condition* condition) noexcept nogil
    void condition_wait "pyn_condition_wait"(Condition* condition, Mutex* mutex) noexcept nogil
    bint condition_wait_ms "pyn_condition_wait_ms"(
        Condition* condition, Mutex* mutex, uint64_t timeout_ms) noexcept nogil  # False: the time is up
    uint64_t now_ms "pyn_now_ms"() noexcept nogil                                # monotonic
    void sleep_us "pyn_sleep_us"(uint64_t pause_us) noexcept nogil
    int thread_start "pyn_thread_start"(
        Thread* thread, void* (*body)(void*) noexcept nogil, void* argument) noexcept nogil  # 0, or an errno value
    void thread_join "pyn_thread_join"(Thread* thread) noexcept nogil
    unsigned int thread_number "pyn_thread_number"() noexcept nogil
