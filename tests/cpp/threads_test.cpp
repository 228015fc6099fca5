// SPDX-License-Identifier: Apache-2.0
#include "core/threads.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gossamer/errors.hpp"

namespace gossamer {
namespace {

/// Sets the number of threads for a test.
struct Threads {
  explicit Threads(int count) : before(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
  int before;
};

thread_local bool on_team = false;

/// Stands for an OpenMP runtime: a team of three threads.
void parallel_of_three(void (*part)(void*), void* context, unsigned, unsigned) {
  const auto member = [=] {
    on_team = true;
    part(context);
    on_team = false;
  };
  std::thread second(member);
  std::thread third(member);
  member();
  second.join();
  third.join();
}

/// Runs operations on a team of three threads for a test.
struct Team {
  Team() : before(use_openmp(parallel_of_three)) {}
  ~Team() { use_openmp(before); }
  OpenMpParallel before;
};

/// Runs `count` tasks that each add to one of two arrays without synchronization.
void check_each_runs_once(std::int64_t count) {
  std::vector<int> runs(static_cast<std::size_t>(count));
  parallel_for(count, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
  for (int times : runs) CHECK(times == 1);
}

}  // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE("every task runs once") {
  for (int threads : {1, 2, 3, 8}) {
    const Threads set(threads);
    for (std::int64_t count : {0, 1, 2, 7, 1000}) check_each_runs_once(count);
  }
}

TEST_CASE("many short jobs in a row") {
  const Threads set(4);
  std::int64_t total = 0;
  for (int job = 0; job < 5000; ++job) {
    std::atomic<std::int64_t> sum{0};
    parallel_for(6, [&](std::int64_t i) { sum += i; });
    total += sum;
  }
  CHECK(total == 5000 * 15);
}

TEST_CASE("callers on several threads") {
  const Threads set(3);
  std::vector<std::thread> callers;
  std::atomic<std::int64_t> total{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int job = 0; job < 500; ++job) {
        std::vector<std::int64_t> results(16);
        parallel_for(16, [&](std::int64_t i) { results[static_cast<std::size_t>(i)] = i; });
        for (std::int64_t value : results) total += value;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(total == 4 * 500 * 120);
}

TEST_CASE("a task may call") {
  const Threads set(4);
  std::atomic<int> inner{0};
  parallel_for(8, [&](std::int64_t) { parallel_for(5, [&](std::int64_t) { ++inner; }); });
  CHECK(inner == 40);
}

TEST_CASE("the team of an OpenMP runtime runs every task once") {
  const Team team;
  for (int threads : {1, 2, 3, 8}) {
    const Threads set(threads);
    for (std::int64_t count : {0, 1, 2, 7, 1000}) check_each_runs_once(count);
  }
}

TEST_CASE("no more of a team than the number of threads takes tasks") {
  const Team team;
  const Threads set(2);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  for (int job = 0; job < 50; ++job) {
    seen.clear();
    parallel_for(200, [&](std::int64_t) {
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
    CHECK(seen.size() <= 2);
  }
}

TEST_CASE("a team is that of the thread that asked for it") {
  const Team team;
  const Threads set(3);
  std::thread([] {
    std::atomic<int> on_another{0};
    parallel_for(8, [&](std::int64_t) { on_another += on_team; });
    CHECK(on_another == 0);
  }).join();
  std::atomic<int> on_this{0};
  parallel_for(8, [&](std::int64_t) { on_this += on_team; });
  CHECK(on_this == 8);
}

TEST_CASE("a team that was asked for twice is there until it was given up twice") {
  CHECK((use_openmp(nullptr) == nullptr));
  const Team team;
  {
    const Team nested;
  }
  CHECK((use_openmp(parallel_of_three) == parallel_of_three));
}

TEST_CASE("a task on a team may call, and its exception reaches the caller") {
  const Team team;
  const Threads set(3);
  std::atomic<int> inner{0};
  parallel_for(8, [&](std::int64_t) { parallel_for(5, [&](std::int64_t) { ++inner; }); });
  CHECK(inner == 40);
  CHECK_THROWS_WITH(parallel_for(50,
                                 [](std::int64_t i) {
                                   if (i % 10 == 3) throw std::runtime_error("task failed");
                                 }),
                    "task failed");
  check_each_runs_once(100);
}

TEST_CASE("an exception ends the job and reaches the caller") {
  const Threads set(4);
  std::atomic<int> ran{0};
  const auto job = [&] {
    parallel_for(50, [&](std::int64_t i) {
      ++ran;
      if (i % 10 == 3) throw std::runtime_error("task failed");
    });
  };
  CHECK_THROWS_WITH(job(), "task failed");
  CHECK(ran == 50);
  check_each_runs_once(100);
}

TEST_CASE("of several exceptions the first task's reaches the caller") {
  const auto job = [] {
    parallel_for(64, [&](std::int64_t i) {
      if (i < 3) return;
      // The first that throws is the last to do so.
      if (i == 3) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      throw std::runtime_error("task " + std::to_string(i));
    });
  };
  for (const int threads : {1, 2, 4}) {
    const Threads set(threads);
    CHECK_THROWS_WITH(job(), "task 3");
    const Team team;
    CHECK_THROWS_WITH(job(), "task 3");
  }
}

TEST_CASE("ranges cover everything once") {
  const Threads set(2);
  std::vector<int> runs(1003);
  parallel_ranges(1003, 100, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) ++runs[static_cast<std::size_t>(i)];
  });
  for (int times : runs) CHECK(times == 1);
}

TEST_CASE("the number of threads is checked") {
  CHECK_THROWS_AS(set_num_threads(0), InvalidArgument);
  CHECK_THROWS_AS(set_num_threads(5000), InvalidArgument);
}

TEST_SUITE_END();

// Apart from the suite: ThreadSanitizer does not follow a child that starts threads.
TEST_CASE("a forked child has threads of its own") {
  const Threads set(3);
  const auto check_child = [] {
    check_each_runs_once(64);
    const pid_t child = fork();
    if (child == 0) {
      std::atomic<int> ran{0};
      parallel_for(64, [&](std::int64_t) { ++ran; });
      _exit(ran == 64 ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  };
  check_child();
  const Team team;
  check_child();
}

}  // namespace gossamer
