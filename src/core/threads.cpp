// SPDX-License-Identifier: Apache-2.0
#include "core/threads.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/environment.hpp"
#include "core/message.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {
namespace {

inline void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// Waits until ready() holds: by spinning first, since the next product often follows at once. By
/// the clock, as a pause takes from 10 to 140 cycles.
template <class Ready, class T>
void await(const std::atomic<T>& changing, Ready ready) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::microseconds spinning(50);
  constexpr int pauses = 32;
  const auto until = Clock::now() + spinning;
  do {
    for (int i = 0; i < pauses; ++i) {
      if (ready(changing.load(std::memory_order_acquire))) return;
      pause_briefly();
    }
  } while (Clock::now() < until);
  for (T seen = changing.load(std::memory_order_acquire); !ready(seen);
       seen = changing.load(std::memory_order_acquire)) {
    changing.wait(seen, std::memory_order_acquire);
  }
}

thread_local bool inside_task = false;

/// What a job throws: the exception of the first of its tasks, whichever thread was quicker.
class FirstError {
 public:
  /// Called where task i was caught.
  void keep(std::int64_t i) noexcept {
    const std::lock_guard lock(mutex_);
    if (error_ && task_ <= i) return;
    task_ = i;
    error_ = std::current_exception();
  }

  /// Throws it, if there is one, and forgets it.
  void rethrow() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  std::mutex mutex_;
  std::int64_t task_ = 0;
  std::exception_ptr error_;
};

/// Threads that wait for one job at a time.
///
/// The tasks of a job are shared out evenly, so that the same threads touch the same memory in one
/// product after the other, and what they wrote is in their own caches. A thread that is done helps
/// the next one.
///
/// A share is a ticket (epoch, next task). A thread takes a task by advancing the ticket of the
/// epoch whose job it has read; the epoch is odd while the owner writes a new job, so that no
/// thread that comes late can take a task of a job it has not read. The owner waits for tasks,
/// never for idle threads.
class ThreadPool {
 public:
  void run(std::int64_t count, void (*task)(void*, std::int64_t), void* context, int threads) {
    start_workers(threads - 1);
    epoch_ += 2;
    for (std::uint64_t s = 0, last = shares_.load(std::memory_order_relaxed); s < last; ++s) {
      tickets_[s].next.store((epoch_ - 1) << 32, std::memory_order_seq_cst);
    }
    const std::uint64_t shares = std::min<std::uint64_t>(threads, tickets_.size());
    task_.store(task, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    // Who reads these knows that the tickets before are void.
    count_.store(static_cast<std::uint32_t>(count), std::memory_order_release);
    shares_.store(shares, std::memory_order_release);
    done_.store(0, std::memory_order_relaxed);
    helpers_.store(threads - 1, std::memory_order_relaxed);
    for (std::uint64_t s = 0; s < shares; ++s) {
      tickets_[s].next.store(epoch_ << 32 | begin_of(s, count, shares), std::memory_order_seq_cst);
    }
    generation_.fetch_add(1, std::memory_order_seq_cst);
    generation_.notify_all();
    take_tasks(0);
    await(done_, [&](std::uint32_t done) { return done == static_cast<std::uint32_t>(count); });
    error_.rethrow();
  }

 private:
  void start_workers(int wanted) {
    while (static_cast<int>(workers_.size()) < wanted) {
      const int index = static_cast<int>(workers_.size());
      const std::uint32_t generation = generation_.load(std::memory_order_relaxed);
      workers_.emplace_back([this, index, generation] { work(index, generation); });
    }
  }

  void work(int index, std::uint32_t generation) {
    inside_task = true;
    for (;;) {
      await(generation_, [&](std::uint32_t now) { return now != generation; });
      generation = generation_.load(std::memory_order_acquire);
      if (index < helpers_.load(std::memory_order_relaxed)) {
        take_tasks(static_cast<std::uint64_t>(index) + 1);
      }
    }
  }

  /// The next task of a share, and the epoch of its job.
  struct alignas(64) Ticket {
    std::atomic<std::uint64_t> next{1ULL << 32};
  };

  /// The first task of a share.
  static std::uint64_t begin_of(std::uint64_t share, std::uint64_t count, std::uint64_t shares) {
    return count * share / shares;
  }

  /// Takes the tasks of the thread's own share, then those that other threads left.
  void take_tasks(std::uint64_t thread) {
    for (std::uint64_t passed = 0; passed < shares_.load(std::memory_order_relaxed); ++passed) {
      take_share(thread + passed);
    }
  }

  void take_share(std::uint64_t thread) {
    const std::uint64_t share = thread % shares_.load(std::memory_order_relaxed);
    std::atomic<std::uint64_t>& next_ticket = tickets_[share].next;
    std::uint64_t ticket = next_ticket.load(std::memory_order_acquire);
    for (;;) {
      if ((ticket >> 32) & 1) return;
      auto* const task = task_.load(std::memory_order_relaxed);
      void* const context = context_.load(std::memory_order_relaxed);
      const std::uint32_t count = count_.load(std::memory_order_acquire);
      const std::uint64_t shares = shares_.load(std::memory_order_acquire);
      const std::uint32_t next = static_cast<std::uint32_t>(ticket);
      if (next >= begin_of(share + 1, count, shares)) return;
      if (!next_ticket.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                             std::memory_order_acquire)) {
        continue;
      }
      try {
        task(context, next);
      } catch (...) {
        error_.keep(next);
      }
      if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) done_.notify_one();
      ticket = next_ticket.load(std::memory_order_acquire);
    }
  }

  std::uint64_t epoch_ = 0;
  std::array<Ticket, 64> tickets_;  ///< odd, but for the shares of a job
  std::atomic<std::uint64_t> shares_{1};
  std::atomic<void (*)(void*, std::int64_t)> task_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<std::uint32_t> count_{0};
  std::atomic<int> helpers_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  FirstError error_;
  std::vector<std::thread> workers_;
};

/// One job on the team of another library's OpenMP runtime.
class TeamJob {
 public:
  TeamJob(std::int64_t count, void (*task)(void*, std::int64_t), void* context, int threads)
      : count_(count), task_(task), context_(context), places_(threads) {}

  void run(OpenMpParallel parallel) {
    parallel([](void* job) { static_cast<TeamJob*>(job)->take_tasks(); }, this, 0, 0);
    error_.rethrow();
  }

 private:
  void take_tasks() {
    if (places_.fetch_sub(1, std::memory_order_relaxed) <= 0) return;
    const bool outer = std::exchange(inside_task, true);
    for (std::int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
      try {
        task_(context_, i);
      } catch (...) {
        error_.keep(i);
      }
    }
    inside_task = outer;
  }

  std::int64_t count_;
  void (*task_)(void*, std::int64_t);
  void* context_;
  std::atomic<int> places_;
  std::atomic<std::int64_t> next_{0};
  FirstError error_;
};

thread_local OpenMpParallel openmp = nullptr;

/// Whether this process was forked: no team survives that.
bool is_forked = false;

// Both are never destroyed: threads may still be waiting on them while the process exits.
ThreadPool* pool = nullptr;
std::mutex* pool_mutex = new std::mutex;

/// A forked child has none of its parent's threads, and perhaps a locked mutex: it starts anew.
void forget_threads_in_child() {
  pool = nullptr;
  pool_mutex = new std::mutex;
  inside_task = false;
  is_forked = true;
}

void forget_threads_after_fork() {
  static const int registered = pthread_atfork(nullptr, nullptr, forget_threads_in_child);
  static_cast<void>(registered);
}

int checked_count(long count, std::string_view given, std::string_view source) {
  if (count < 1 || count > 4096) {
    throw InvalidArgument(message(source, " = ", given, " is not a number in 1..4096"));
  }
  return static_cast<int>(count);
}

int initial_num_threads() {
  if (const char* text = environment_variable("GOSSAMER_NUM_THREADS")) {
    char* end = nullptr;
    const long count = std::strtol(text, &end, 10);  // of what is beyond its range, its limits
    return checked_count(*end == '\0' ? count : 0, message("'", text, "'"), "GOSSAMER_NUM_THREADS");
  }
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{initial_num_threads()};
  return count;
}

}  // namespace

int num_threads() { return thread_count().load(std::memory_order_relaxed); }

void set_num_threads(int count) {
  const std::string given = std::to_string(count);
  thread_count().store(checked_count(count, given, "set_num_threads: count"),
                       std::memory_order_relaxed);
}

OpenMpParallel use_openmp(OpenMpParallel parallel) {
  forget_threads_after_fork();
  return std::exchange(openmp, parallel);
}

void run_tasks(std::int64_t count, void (*task)(void*, std::int64_t), void* context) {
  const int threads = static_cast<int>(std::min<std::int64_t>(num_threads(), count));
  const bool fits = count <= INT32_MAX;
  std::unique_lock lock(*pool_mutex, std::defer_lock);
  if (threads > 1 && fits && !inside_task && lock.try_lock()) {
    if (openmp != nullptr && !is_forked) {
      TeamJob(count, task, context, threads).run(openmp);
      return;
    }
    if (pool == nullptr) {
      pool = new ThreadPool;
      forget_threads_after_fork();
    }
    inside_task = true;
    try {
      pool->run(count, task, context, threads);
    } catch (...) {
      inside_task = false;
      throw;
    }
    inside_task = false;
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) task(context, i);
}

}  // namespace gossamer
