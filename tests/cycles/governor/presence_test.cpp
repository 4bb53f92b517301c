// Each source of signs of a person in a tree of its own, and the judge over scripted ones.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "cycles/user_presence.h"
#include "descriptor.h"
#include "temporary_folder.h"
#include "wayland_wire.h"
#include "x11_connection.h"

namespace spatter::cycles {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const TimePoint start{seconds(1000)};

struct Scripted : PresenceSource {
  Sighting now{.works = true};
  int opened = 0;
  std::string_view name() const override { return "script"; }
  void open(TimePoint) override { ++opened; }
  std::vector<pollfd> watched() override { return {}; }
  Duration poll_every() const override { return milliseconds(100); }
  Sighting look(TimePoint) override { return now; }
};

struct Judge : testing::Test {
  Judge() {
    auto first = std::make_unique<Scripted>(), second = std::make_unique<Scripted>();
    a = first.get();
    b = second.get();
    std::vector<std::unique_ptr<PresenceSource>> sources;
    sources.push_back(std::move(first));
    sources.push_back(std::move(second));
    judge.emplace(std::move(sources), seconds(60), start);
  }
  Scripted *a, *b;
  std::optional<PresenceJudge> judge;
};

TEST_F(Judge, NobodyIsAwayBeforeTheQuietTimeWasSeen) {
  judge->look(start + seconds(59), {});
  EXPECT_TRUE(judge->present());
  judge->look(start + seconds(60), {});
  EXPECT_FALSE(judge->present());
  EXPECT_EQ(judge->why(start + seconds(60)), "nobody for 60 s");
}

TEST_F(Judge, AnySourceBringsSomebodyBackAtOnce) {
  judge->look(start + seconds(100), {});
  ASSERT_FALSE(judge->present());
  b->now.last_seen = start + seconds(100);
  b->now.what = "a key";
  judge->look(start + seconds(101), {});
  EXPECT_TRUE(judge->present());
  EXPECT_EQ(judge->why(start + seconds(101)), "somebody may be here: script: a key, 1 s ago");
  judge->look(start + seconds(160), {});
  EXPECT_FALSE(judge->present());
}

TEST_F(Judge, WhoIsActiveStaysPresentHoweverLong) {
  a->now.active_now = true;
  judge->look(start + seconds(500), {});
  EXPECT_TRUE(judge->present());
  a->now.active_now = false;
  judge->look(start + seconds(559), {});
  EXPECT_TRUE(judge->present());
  judge->look(start + seconds(561), {});
  EXPECT_FALSE(judge->present());
}

TEST_F(Judge, AShorterQuietTimeHoldsAtOnce) {
  judge->set_quiet(seconds(5));
  judge->look(start + seconds(6), {});
  EXPECT_FALSE(judge->present());
}

TEST_F(Judge, WhatDoesNotWorkIsOpenedAgain) {
  a->now.works = false;
  a->now.what = "gone";
  for (int s = 0; s <= 20; ++s) judge->look(start + seconds(s), {});
  EXPECT_GE(a->opened, 4);
  EXPECT_EQ(b->opened, 1);
  const auto reports = judge->reports(start + seconds(20));
  EXPECT_FALSE(reports[0].works);
  EXPECT_EQ(reports[0].what, "gone");
}

TEST(InputDevices, AnEventOfAnyDeviceIsSeenAndDevicesComeAndGo) {
  const TemporaryFolder folder;
  auto source = input_devices(folder.path());
  source->open(start);
  EXPECT_FALSE(source->look(start).works);
  ASSERT_EQ(::mkfifo((folder / "event3").c_str(), 0600), 0);
  folder.write("mouse0", "no event device");
  const auto opened = source->look(start + seconds(1));  // told by the folder's change
  EXPECT_TRUE(opened.works);
  EXPECT_FALSE(opened.last_seen);
  {
    Descriptor keyboard(::open((folder / "event3").c_str(), O_WRONLY | O_NONBLOCK));
    ASSERT_TRUE(keyboard);
    ASSERT_EQ(::write(keyboard.get(), "key", 3), 3);
    auto watched = source->watched();
    EXPECT_GT(::poll(watched.data(), watched.size(), 0), 0);
    const auto seen = source->look(start + seconds(2));
    EXPECT_EQ(seen.last_seen, start + seconds(2));
    EXPECT_EQ(seen.what, "key or pointer (event3)");
  }
  EXPECT_FALSE(source->look(start + seconds(3)).works);  // unplugged
  EXPECT_EQ(source->look(start + seconds(4)).last_seen, start + seconds(2));
}

TEST(InputDevices, SaysWhenThereAreNone) {
  auto source = input_devices("/nowhere");
  source->open(start);
  EXPECT_EQ(source->look(start).what, "no device in /nowhere");
}

void set_access_time(const std::string& path, std::int64_t s) {
  const timespec times[2] = {{.tv_sec = s, .tv_nsec = 0}, {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST(Terminals, AChangedAccessTimeIsSomebodyTyping) {
  const TemporaryFolder folder;
  for (const char* name : {"0", "tty1", "tty0", "ptmx"}) {
    folder.write(name, "");
    set_access_time(folder / name, 1'000'000);
  }
  auto source = terminals({folder.path()});
  source->open(start + std::chrono::hours(1'000'000));
  const TimePoint now = start + std::chrono::hours(1'000'000);
  const auto before = source->look(now);
  EXPECT_TRUE(before.works);
  EXPECT_LT(before.last_seen, now - seconds(1));
  set_access_time(folder / "tty0", 1'000'008);
  set_access_time(folder / "ptmx", 1'000'008);
  EXPECT_EQ(source->look(now + seconds(1)).last_seen, before.last_seen);
  set_access_time(folder / "0", 999'000);  // back in time is a change too: the wall clock was set
  const auto seen = source->look(now + seconds(2));
  EXPECT_EQ(seen.last_seen, now + seconds(2));
  EXPECT_EQ(seen.what, "typing on " + (folder / "0"));
  folder.write("1", "");  // somebody logged in
  EXPECT_EQ(source->look(now + seconds(3)).last_seen, now + seconds(3));
}

TEST(OtherLoad, CountsWhatIsNotOurs) {
  const TemporaryFolder folder;
  Duration ours{0};
  auto source = other_load(0.25, [&] { return ours; }, folder / "stat");
  source->open(start);
  EXPECT_EQ(source->look(start).what, (folder / "stat") + " cannot be read");
  // Two cores; in ticks of 10 ms: user nice system idle iowait irq softirq steal.
  const auto at = [&](int user, int idle) {
    folder.write("stat", fmt::format("cpu  {} 0 0 {} 0 0 0 0 0 0\ncpu0 1 1\ncpu1 1 1\nintr 5\n", user, idle));
  };
  at(100, 1000);
  EXPECT_TRUE(source->look(start).works);
  ours += milliseconds(500);
  at(150, 1050);
  source->look(start + milliseconds(500));
  ours += milliseconds(500);
  at(200, 1100);
  const auto only_ours = source->look(start + seconds(1));
  EXPECT_FALSE(only_ours.active_now);
  EXPECT_EQ(only_ours.what, "they use 0.00 cores");
  at(300, 1100);
  const auto busy = source->look(start + seconds(2));
  EXPECT_TRUE(busy.active_now);
  EXPECT_EQ(busy.what, "they use 1.00 cores");
}

TEST(UserPresence, TellsOfSomebodyOnAThreadOfItsOwn) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "event0").c_str(), 0600), 0);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<bool> told;
  Descriptor keyboard(::open((folder / "event0").c_str(), O_RDWR | O_NONBLOCK));
  std::vector<std::unique_ptr<PresenceSource>> sources;
  sources.push_back(input_devices(folder.path()));
  auto presence = watch_for_users(std::move(sources), milliseconds(50), [&](bool present) {
    const std::lock_guard lock(mutex);
    told.push_back(present);
    changed.notify_all();
  });
  ASSERT_TRUE(presence);
  const auto wait_for = [&](std::size_t n) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return told.size() >= n; });
  };
  wait_for(2);
  ASSERT_EQ(::write(keyboard.get(), "key", 3), 3);
  wait_for(4);
  EXPECT_EQ(told, (std::vector<bool>{true, false, true, false}));
  ASSERT_EQ((*presence)->reports().size(), 1U);
  EXPECT_TRUE((*presence)->reports()[0].quiet_for);
  EXPECT_TRUE((*presence)->why().starts_with("nobody for"));
}

TEST(X11Wire, TakesTheCookieOfTheDisplay) {
  const auto entry = [](const std::string& number, const std::string& name, const std::string& data) {
    std::string bytes("\x01\x00", 2);
    for (const std::string& field : {std::string("host"), number, name, data})
      bytes += std::string{static_cast<char>(field.size() >> 8), static_cast<char>(field.size() & 255)} + field;
    return bytes;
  };
  const std::string file = entry("1", "MIT-MAGIC-COOKIE-1", "one") + entry("7", "XDM-AUTHORIZATION-1", "no") +
                           entry("7", "MIT-MAGIC-COOKIE-1", "seven");
  EXPECT_EQ(x11_cookie(file, "7"), "seven");
  EXPECT_EQ(x11_cookie(file, "2"), "");
  EXPECT_EQ(x11_cookie(file + entry("", "MIT-MAGIC-COOKIE-1", "any"), "2"), "any");
  EXPECT_EQ(x11_cookie(file.substr(0, file.size() - 1), "7"), "");
}

TEST(X11Wire, OnlyThisMachinesDisplays) {
  EXPECT_EQ(*x11_display_number(":12.0"), "12");
  EXPECT_EQ(*x11_display_number("unix:3"), "3");
  EXPECT_EQ(x11_display_number("far:0").error().code, Errc::invalid);
  EXPECT_EQ(x11_display_number(":").error().code, Errc::invalid);
  EXPECT_EQ(x11_display_number(":../..").error().code, Errc::invalid);
}

TEST(X11Wire, PacketsAreWholeOrRefused) {
  X11Packets packets;
  std::string event(32, '\0');
  event[0] = 35;
  event[4] = 2;
  packets.add(event.substr(0, 20));
  EXPECT_FALSE(*packets.next());
  packets.add(event.substr(20));
  EXPECT_FALSE(*packets.next());
  packets.add("12345678");
  EXPECT_EQ((*packets.next())->size(), 40U);
  event[0] = 1;
  event[7] = 1;
  packets.add(event);
  EXPECT_EQ(packets.next().error().code, Errc::corrupt);
}

TEST(WaylandWire, MessagesAreWholeOrRefused) {
  WaylandMessages messages;
  messages.add(WaylandRequest(7, 3).number(5).text("seat").bytes());
  const auto message = *messages.next();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->object, 7U);
  EXPECT_EQ(message->opcode, 3);
  EXPECT_EQ(message->number(0), 5U);
  EXPECT_EQ(message->text(1)->first, "seat");
  EXPECT_FALSE(message->number(9));
  EXPECT_FALSE(message->text(9));
  messages.add(std::string("\x01\0\0\0\0\0\x04\0", 8));
  EXPECT_EQ(messages.next().error().code, Errc::corrupt);
}

}  // namespace
}  // namespace spatter::cycles
