// Threads that go through a step together: they share out the units of each phase, and meet before the next.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

inline void breathe() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class Team {
  public:
    explicit Team(int members) : members_(members), owner_(getpid()) {
        for (int i = 1; i < members; i++) std::thread([this] { serve(); }).detach();
    }
    int members() const { return members_; }
    bool usable() const { return owner_ == getpid(); }  // after a fork the other threads are gone

    // Every member runs `work` once.
    void run(const std::function<void()>& work) {
        work_ = &work;
        arrived_.store(0, std::memory_order_relaxed);
        taken_.store(0, std::memory_order_relaxed);
        if (members_ > 1) {
            std::lock_guard<std::mutex> guard(mutex_);
            turn_.fetch_add(1, std::memory_order_release);
        }
        if (sleeping_.load() > 0) bell_.notify_all();
        work();
        meet();
    }

    // Units 0 to count - 1 are done by whoever is free; all are done when it returns.
    template <class Unit>
    void share(int64_t count, const Unit& unit) {
        if (members_ == 1) {
            for (int64_t i = 0; i < count; i++) unit(i);
            return;
        }
        for (int64_t i = next(); i < count; i = next()) unit(i);
        meet();
    }

  private:
    // The next unit of this phase. Phases count on one number, each in a stretch of its own.
    int64_t next() { return taken_.fetch_add(1, std::memory_order_relaxed); }

    void meet() {
        if (members_ == 1) return;
        const uint32_t before = phase_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
            arrived_.store(0, std::memory_order_relaxed);
            taken_.store(0, std::memory_order_relaxed);
            phase_.store(before + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; phase_.load(std::memory_order_acquire) == before; spins++) {
            if (spins < 4000) breathe();
            else sched_yield();
        }
    }

    void serve() {
        uint64_t seen = 0;
        for (;;) {
            for (int spins = 0; turn_.load(std::memory_order_acquire) == seen && spins < 4000; spins++) breathe();
            if (turn_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> lock(mutex_);
                sleeping_.fetch_add(1);
                bell_.wait(lock, [&] { return turn_.load(std::memory_order_acquire) != seen; });
                sleeping_.fetch_sub(1);
            }
            seen++;
            (*work_)();
            meet();
        }
    }

    const int members_;
    const pid_t owner_;
    const std::function<void()>* work_ = nullptr;
    alignas(64) std::atomic<uint64_t> turn_{0};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<int64_t> taken_{0};
    alignas(64) std::atomic<uint32_t> phase_{0};
    std::atomic<int> sleeping_{0};
    std::mutex mutex_;
    std::condition_variable bell_;
};
