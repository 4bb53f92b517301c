// Random operations on the namespace, compared with a model in memory: same results, same tree, also
// after reopening and after a restore from the packs.
#include <rapidcheck.h>

#include "fixture.h"

namespace spatter {
namespace {

struct Thing {
  char kind = 'd';  // d, f, l
  std::string content;
  std::map<std::string, std::shared_ptr<Thing>> children;
};
using ThingPtr = std::shared_ptr<Thing>;

// As POSIX has it, by the shortest way.
struct Model {
  ThingPtr root = std::make_shared<Thing>();

  struct Spot {
    ThingPtr parent;
    std::string name;
    ThingPtr thing;
    std::vector<Thing*> above;
  };
  static std::vector<std::string> parts(const std::string& path) {
    std::vector<std::string> result;
    std::string part;
    for (char c : path + "/") {
      if (c != '/') part += c;
      else if (!part.empty()) result.push_back(std::exchange(part, {}));
    }
    return result;
  }
  std::pair<Errc, Spot> spot(const std::string& path) const {
    Spot spot{root, "", root, {}};
    for (const std::string& part : parts(path)) {
      if (!spot.name.empty() || spot.parent != spot.thing) {
        if (!spot.thing) return {Errc::not_found, {}};
        if (spot.thing->kind != 'd') return {Errc::not_directory, {}};
        spot.parent = spot.thing;
      }
      spot.above.push_back(spot.parent.get());
      spot.name = part;
      auto child = spot.parent->children.find(part);
      spot.thing = child == spot.parent->children.end() ? nullptr : child->second;
    }
    return {Errc::ok, spot};
  }
  Errc make(const std::string& path, char kind, std::string content) {
    auto [error, at] = spot(path);
    if (error != Errc::ok) return error;
    if (kind == 'f' && at.thing) {
      if (at.thing->kind == 'd') return Errc::is_directory;
      if (at.thing->kind == 'l') return Errc::exists;
      at.thing->content = content;
      return Errc::ok;
    }
    if (at.thing) return Errc::exists;
    auto thing = std::make_shared<Thing>();
    thing->kind = kind;
    thing->content = content;
    at.parent->children[at.name] = thing;
    return Errc::ok;
  }
  Errc link(const std::string& from, const std::string& to) {
    auto [error, source] = spot(from);
    if (error != Errc::ok) return error;
    if (!source.thing) return Errc::not_found;
    if (source.thing->kind == 'd') return Errc::is_directory;
    auto [error2, target] = spot(to);
    if (error2 != Errc::ok) return error2;
    if (target.thing) return Errc::exists;
    target.parent->children[target.name] = source.thing;
    return Errc::ok;
  }
  Errc remove(const std::string& path, bool tree) {
    auto [error, at] = spot(path);
    if (error != Errc::ok) return error;
    if (!at.thing) return Errc::not_found;
    if (at.name.empty()) return Errc::invalid;
    if (!tree && !at.thing->children.empty()) return Errc::not_empty;
    at.parent->children.erase(at.name);
    return Errc::ok;
  }
  Errc rename(const std::string& from, const std::string& to) {
    auto [error, source] = spot(from);
    if (error != Errc::ok) return error;
    if (!source.thing) return Errc::not_found;
    auto [error2, target] = spot(to);
    if (error2 != Errc::ok) return error2;
    if (source.name.empty() || target.name.empty()) return Errc::invalid;
    if (std::ranges::find(target.above, source.thing.get()) != target.above.end()) return Errc::invalid;
    if (target.thing) {
      if (target.thing == source.thing) return Errc::ok;
      if (target.thing->kind == 'd' && source.thing->kind != 'd') return Errc::is_directory;
      if (target.thing->kind != 'd' && source.thing->kind == 'd') return Errc::not_directory;
      if (!target.thing->children.empty()) return Errc::not_empty;
    }
    source.parent->children.erase(source.name);
    target.parent->children[target.name] = source.thing;
    return Errc::ok;
  }
  static void tell(const Thing& thing, const std::string& path, std::map<std::string, std::string>& all) {
    if (thing.kind != 'd') all[path] = std::string(1, thing.kind) + thing.content;
    else all[path] = "d";
    for (auto& [name, child] : thing.children) tell(*child, path + "/" + name, all);
  }
};

class ModelTest : public VolumeTest {
 protected:
  void tell(const std::string& path, std::map<std::string, std::string>& all) {
    all[path] = "d";
    for (auto& entry : must(volume().list(path))) {
      const std::string name = path + "/" + entry.name;
      if (entry.node.is_directory()) tell(name, all);
      else if (entry.node.is_symlink()) all[name] = "l" + entry.node.target;
      else all[name] = "f" + to_string(get(name));
    }
  }
  std::map<std::string, std::string> tree() {
    std::map<std::string, std::string> all;
    tell("", all);
    return all;
  }
};

TEST_F(ModelTest, BehavesAsTheModel) {
  EXPECT_TRUE(rc::check([this] {
    close();
    runtime.exchange(std::make_unique<MemoryDisk>());
    remote.packs.clear();
    open();
    Model model;
    const auto path = rc::gen::map(
        rc::gen::resize(4, rc::gen::container<std::vector<char>>(rc::gen::elementOf(std::string("abc")))),
        [](const std::vector<char>& names) {
          std::string text;
          for (char name : names) text += std::string("/") + name;
          return text;
        });
    const int steps = *rc::gen::inRange(1, 40);
    for (int step = 0; step < steps; ++step) {
      const int what = *rc::gen::inRange(0, 16);
      const std::string one = *path, two = *path;
      const std::string content(*rc::gen::elementOf(std::vector<std::size_t>{0, 3, 5000}), static_cast<char>('a' + step % 26));
      Errc want = Errc::ok, got = Errc::ok;
      if (what < 4) {
        want = model.make(one, 'd', "");
        got = error_of(volume().make_directory(one, {.mode = 0755}));
      } else if (what < 7) {
        want = model.make(one, 'f', content);
        got = error_of(volume().put_small(one, {}, Buffer::copy_of(as_bytes(content))));
      } else if (what < 8) {
        want = model.make(one, 'l', "x" + content.substr(0, 3));
        got = error_of(volume().make_symlink("x" + content.substr(0, 3), one, {}));
      } else if (what < 9) {
        want = model.link(one, two);
        got = error_of(volume().link(one, two));
      } else if (what < 11) {
        want = model.remove(one, false);
        got = error_of(volume().remove(one));
      } else if (what < 12) {
        want = model.remove(one, true);
        got = error_of(volume().remove_tree(one));
      } else if (what < 14) {
        want = model.rename(one, two);
        got = error_of(volume().rename(one, two));
      } else if (what < 15) {
        reopen();
      } else {
        must(volume().snapshot());
      }
      RC_LOG() << what << " " << one << " " << two << ": " << last_message << "\n";
      RC_ASSERT(got == want);
    }
    std::map<std::string, std::string> expected;
    Model::tell(*model.root, "", expected);
    RC_ASSERT(tree() == expected);
    must(volume().reap());
    auto wrong = problems();
    if (!wrong.empty()) RC_FAIL(wrong.front());
    copy_packs();
    auto packs = packs_for_restore();
    close();
    runtime.exchange(std::make_unique<MemoryDisk>());
    (void)runtime.disk().make_directories("user");
    auto database = must(Database::open(runtime, "user/index.db", volume_migrations()));
    must(Volume::restore(runtime, *database, test_keys(), test_volume_id(), packs, remote));
    run(database->close());
    open();
    RC_ASSERT(tree() == expected);
    wrong = problems();
    if (!wrong.empty()) RC_FAIL(wrong.front());
  }));
}

}  // namespace
}  // namespace spatter
