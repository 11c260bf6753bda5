"""The list of marks, and the handlers that keep it whole across a fork. Installed when the module is loaded."""

from pynori_core.threads cimport Mutex, mutex_init, mutex_lock, mutex_unlock

cdef extern from "<pthread.h>" nogil:
    int at_fork "pthread_atfork"(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                                 void (*child)() noexcept nogil) noexcept

cdef Mutex lock                        # guards the list; held across the fork itself
cdef ForkMark* first = NULL


cdef void fork_watch(ForkMark* mark, ForkFunction in_child, void* argument) noexcept nogil:
    global first
    mark.in_child = in_child
    mark.argument = argument
    mark.previous = NULL
    mutex_lock(&lock)
    mark.next = first
    if first != NULL:
        first.previous = mark
    first = mark
    mutex_unlock(&lock)


cdef void fork_forget(ForkMark* mark) noexcept nogil:
    global first
    if mark.in_child == NULL:
        return
    mutex_lock(&lock)
    if mark.previous != NULL:
        mark.previous.next = mark.next
    else:
        first = mark.next
    if mark.next != NULL:
        mark.next.previous = mark.previous
    mutex_unlock(&lock)
    mark.in_child = NULL


cdef void fork_prepare() noexcept nogil:
    mutex_lock(&lock)


cdef void fork_parent() noexcept nogil:
    mutex_unlock(&lock)


cdef void fork_child() noexcept nogil:
    cdef ForkMark* mark = first
    while mark != NULL:
        mark.in_child(mark.argument)
        mark = mark.next
    mutex_unlock(&lock)


mutex_init(&lock)
if at_fork(fork_prepare, fork_parent, fork_child):
    raise MemoryError("no memory for the handlers of a fork")
