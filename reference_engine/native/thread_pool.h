// A thread pool whose threads share out the units of a phase. Whoever is awake takes part; nobody waits for a thread
// that sleeps or that the system has set aside, only for units that were begun.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>

inline void pause_core() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class ThreadPool {
  public:
    explicit ThreadPool(int members) : members_(members), owner_(getpid()) {
        try {
            for (int i = 1; i < members; i++) std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
            // no more threads to be had: those that are there do the work
        }
    }
    int members() const { return members_; }
    bool usable() const { return owner_ == getpid(); }  // after a fork the other threads are gone

    // Runs unit(0) to unit(count - 1), the last first, each once and by anyone; all are done when it returns. One thread
    // at a time may call it.
    template <class Unit>
    void share(int64_t count, const Unit& unit) {
        if (members_ == 1 || count == 1) {
            for (int64_t i = count - 1; i >= 0; i--) unit(i);
            return;
        }
        if (count == 0) return;
        unit_ = &unit;
        call_ = [](const void* what, int64_t index) { (*static_cast<const Unit*>(what))(index); };
        unfinished_.store(count, std::memory_order_relaxed);
        state_.store(((state_.load(std::memory_order_relaxed) >> 32) + 1) << 32 | static_cast<uint64_t>(count));
        if (asleep_.load()) wake();
        work();
        for (int spins = 0; unfinished_.load(std::memory_order_acquire) > 0; spins++) {
            if (spins < PATIENCE) pause_core();
            else sched_yield();
        }
    }

  private:
    static constexpr int PATIENCE = 60000;  // pauses before a core is given up: a millisecond or so
    static constexpr uint64_t LEFT = 0xffffffff;

    // Takes units until none is left. A unit is taken by lowering the count of a phase that is still the same, so its
    // phase cannot end, and what describes it cannot change, before it is done.
    void work() {
        for (uint64_t state = state_.load(); state & LEFT;) {
            if (!state_.compare_exchange_weak(state, state - 1)) continue;
            call_(unit_, static_cast<int64_t>(state & LEFT) - 1);
            unfinished_.fetch_sub(1, std::memory_order_release);
            state = state_.load();
        }
    }

    void serve() {
        for (;;) {
            work();
            for (int spins = 0; !(state_.load() & LEFT) && spins < PATIENCE; spins++) pause_core();
            if (state_.load() & LEFT) continue;
            std::unique_lock<std::mutex> lock(mutex_);
            asleep_.store(true);
            bell_.wait(lock, [this] { return (state_.load() & LEFT) != 0 || !asleep_.load(); });
        }
    }

    void wake() {
        std::lock_guard<std::mutex> guard(mutex_);
        asleep_.store(false);
        bell_.notify_all();
    }

    const int members_;
    const pid_t owner_;
    const void* unit_ = nullptr;
    void (*call_)(const void*, int64_t) = nullptr;
    alignas(64) std::atomic<uint64_t> state_{0};  // number of the phase, and how many units of it are left to take
    alignas(64) std::atomic<int64_t> unfinished_{0};
    alignas(64) std::atomic<bool> asleep_{false};
    std::mutex mutex_;
    std::condition_variable bell_;
};
