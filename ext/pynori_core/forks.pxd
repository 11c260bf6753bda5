"""What a fork may do: nothing to what was open before it.

A forked child has its parent's memory but none of its threads, and locks as they stood at that moment. So whatever
cannot be used there puts up a ForkMark; its function runs in the child, before anything else does, and makes the thing
refuse. It may only set flags and close descriptors.
"""

ctypedef void (*ForkFunction)(void* argument) noexcept nogil

cdef struct ForkMark:                  # stays where it is from watch to forget
    ForkMark* next
    ForkMark* previous
    ForkFunction in_child
    void* argument

cdef void fork_watch(ForkMark* mark, ForkFunction in_child, void* argument) noexcept nogil
cdef void fork_forget(ForkMark* mark) noexcept nogil           # a mark that was never put up is passed over
