// fsck of the user half: is the index sound, do the packs hold what it says, and putting right what
// can be.
#include "volume_impl.h"

namespace spatter {

namespace {

constexpr std::size_t findings_max = 1000;  // of one kind

struct Checker {
  Connected& db;
  std::vector<Finding> findings;

  // Runs a query; every row becomes a finding through `tell`.
  Result<void> each(const char* sql, const std::function<Finding(Statement&)>& tell) {
    TRY(auto select, db.prepare(sql));
    for (std::size_t count = 0;; ++count) {
      TRY(bool row, select.step());
      if (!row) return {};
      if (count == findings_max) {
        findings.push_back({.what = "and more of this kind"});
        return {};
      }
      findings.push_back(tell(select));
    }
  }
};

// One of the paths of an inode, for people; empty when it has none.
Result<std::string> path_of(Connected& db, InodeNumber inode) {
  std::string path;
  for (unsigned depth = 0; inode != root_inode && depth < 1000; ++depth) {
    TRY(auto select, db.prepare("SELECT parent, name FROM dirents WHERE inode = ? LIMIT 1"));
    select.bind(1, i64(inode));
    TRY(bool row, select.step());
    if (!row) return std::string();
    path = "/" + to_string(select.blob_view(1)) + path;
    inode = u64(select.integer(0));
  }
  return path.empty() ? "/" : path;
}

Result<void> check_tree(Checker& check) {
  TRY_VOID(check.each(
      "SELECT d.parent, d.name, d.inode FROM dirents d LEFT JOIN inodes i ON i.inode = d.inode "
      "WHERE i.inode IS NULL",
      [](Statement& row) {
        return Finding{.what = fmt::format("the entry {} of directory inode {} names inode {}, "
                                           "which is missing",
                                           shown(as_text(row.blob_view(1))), row.integer(0),
                                           row.integer(2)),
                       .fatal = true};
      }));
  TRY_VOID(check.each(
      "SELECT d.parent, d.name FROM dirents d LEFT JOIN inodes i ON i.inode = d.parent "
      "WHERE i.inode IS NULL OR i.mode & 61440 <> 16384",
      [](Statement& row) {
        return Finding{.what = fmt::format("the entry {} lies in inode {}, which is no directory",
                                           shown(as_text(row.blob_view(1))), row.integer(0)),
                       .fatal = true};
      }));
  TRY_VOID(check.each(
      "WITH RECURSIVE seen(inode) AS (SELECT 1 UNION SELECT d.inode FROM dirents d "
      "JOIN seen s ON d.parent = s.inode) "
      "SELECT inode FROM inodes WHERE inode NOT IN seen",
      [](Statement& row) {
        return Finding{.what = fmt::format("inode {} can't be reached from the root", row.integer(0)),
                       .fatal = true};
      }));
  return check.each(
      "WITH named(inode, n) AS (SELECT inode, count(*) FROM dirents GROUP BY inode), "
      "inside(inode, n) AS (SELECT d.parent, count(*) FROM dirents d JOIN inodes i "
      "ON i.inode = d.inode WHERE i.mode & 61440 = 16384 GROUP BY d.parent) "
      "SELECT i.inode, i.links, CASE WHEN i.mode & 61440 = 16384 THEN 2 + ifnull(s.n, 0) "
      "ELSE ifnull(n.n, 0) END AS right FROM inodes i LEFT JOIN named n ON n.inode = i.inode "
      "LEFT JOIN inside s ON s.inode = i.inode WHERE links <> right",
      [](Statement& row) {
        return Finding{.what = fmt::format("inode {} counts {} links, it has {}", row.integer(0),
                                           row.integer(1), row.integer(2))};
      });
}

Result<void> check_contents(Checker& check) {
  TRY_VOID(check.each(
      "SELECT DISTINCT e.content FROM extents e WHERE e.content NOT IN (SELECT content FROM inodes) "
      "AND e.content NOT IN (SELECT content FROM orphans)",
      [](Statement& row) {
        return Finding{.what = fmt::format("content {} belongs to no file", row.integer(0))};
      }));
  TRY_VOID(check.each(
      "SELECT i.inode, max(e.offset + e.length), i.size FROM inodes i JOIN extents e "
      "ON e.content = i.content GROUP BY i.inode HAVING max(e.offset + e.length) > i.size",
      [](Statement& row) {
        return Finding{.what = fmt::format("inode {} has data up to {}, past its size {}",
                                           row.integer(0), row.integer(1), row.integer(2)),
                       .fatal = true};
      }));
  TRY_VOID(check.each(
      "SELECT content, offset FROM (SELECT content, offset, lag(offset + length) OVER "
      "(PARTITION BY content ORDER BY offset) AS before FROM extents) WHERE before > offset",
      [](Statement& row) {
        return Finding{.what = fmt::format("content {} has overlapping extents at {}", row.integer(0),
                                           row.integer(1)),
                       .fatal = true};
      }));
  TRY_VOID(check.each(
      "SELECT e.content, e.offset FROM extents e LEFT JOIN chunks c ON c.chunk = e.chunk "
      "WHERE c.chunk IS NULL OR e.chunk_offset + e.length > c.plain",
      [](Statement& row) {
        return Finding{.what = fmt::format("the extent at {} of content {} has no chunk that covers it",
                                           row.integer(1), row.integer(0)),
                       .fatal = true};
      }));
  return check.each(
      "SELECT c.id, c.refs, ifnull(u.n, 0) AS right FROM chunks c LEFT JOIN (SELECT chunk, count(*) "
      "AS n FROM extents GROUP BY chunk) u ON u.chunk = c.chunk WHERE c.refs <> right",
      [](Statement& row) {
        return Finding{.what = fmt::format("chunk {} counts {} uses, it has {}",
                                           to_hex(row.blob_view(0)).substr(0, 12), row.integer(1),
                                           row.integer(2))};
      });
}

Result<void> check_packs(Checker& check) {
  TRY_VOID(check.each(
      "SELECT c.id, c.sequence FROM chunks c LEFT JOIN packs p ON p.sequence = c.sequence "
      "WHERE c.refs > 0 AND (p.sequence IS NULL OR c.offset + c.body + 96 > p.length)",
      [](Statement& row) {
        return Finding{.what = fmt::format("chunk {} should be in pack number {}, which is gone or "
                                           "ends before it",
                                           to_hex(row.blob_view(0)).substr(0, 12), row.integer(1)),
                       .fatal = true};
      }));
  static_assert(pack_header_bytes == 96);
  return check.each(
      "SELECT p.id, p.live, ifnull(u.n, 0) AS right FROM packs p LEFT JOIN (SELECT sequence, "
      "sum(body + 96) AS n FROM chunks WHERE refs > 0 GROUP BY sequence) u "
      "ON u.sequence = p.sequence WHERE p.live <> right",
      [](Statement& row) {
        return Finding{.what = fmt::format("pack {} counts {} bytes in use, it has {}",
                                           to_hex(row.blob_view(0)).substr(0, 12), row.integer(1),
                                           row.integer(2))};
      });
}

// What the index says lies in one pack.
struct Expected {
  std::map<std::uint64_t, ChunkPlace> chunks;  // by offset, those in use
};

Result<Expected> expected_in(Connected& db, std::uint64_t sequence) {
  Expected expected;
  TRY(auto select, db.prepare("SELECT id, offset, body, plain, codec FROM chunks "
                              "WHERE sequence = ? AND refs > 0"));
  select.bind(1, i64(sequence));
  while (true) {
    TRY(bool row, select.step());
    if (!row) return expected;
    ChunkPlace place;
    TRY(place.id, ChunkId::from(select.blob_view(0)));
    place.sequence = sequence;
    place.offset = u64(select.integer(1));
    place.body_bytes = static_cast<std::uint32_t>(select.integer(2));
    place.plain_bytes = static_cast<std::uint32_t>(select.integer(3));
    place.codec = static_cast<Codec>(select.integer(4));
    expected.chunks[place.offset] = place;
  }
}

Result<std::string> file_using(Connected& db, const ChunkId& chunk) {
  std::int64_t inode = 0;
  {
    TRY(auto select, db.prepare("SELECT i.inode FROM chunks c JOIN extents e ON e.chunk = c.chunk "
                                "JOIN inodes i ON i.content = e.content WHERE c.id = ? LIMIT 1"));
    select.bind_blob(1, chunk.view());
    TRY(bool row, select.step());
    if (!row) return std::string();
    inode = select.integer(0);
  }
  return path_of(db, u64(inode));
}

}  // namespace

// Walks one local pack, entry by entry; memory is one entry. Returns the first thing wrong.
static Task<Result<void>> check_pack(VolumeImpl& volume, PackInfo pack, Expected expected,
                                     std::vector<ChunkId>& damaged) {
  std::uint64_t at = 0;
  std::optional<Error> first;
  auto wrong = [&](Error error) {
    if (!first) first = std::move(error);
  };
  while (at < pack.length) {
    const std::uint64_t left = pack.length - at;
    auto head = co_await volume.store().read(pack.id, at, std::min<std::uint64_t>(left, pack_header_bytes),
                                             ReadFrom::local);
    if (!head) co_return fail(head.error());
    auto header = open_entry_header(volume.keys().metadata, pack.id, at, *head);
    if (header && left - pack_header_bytes < header->body_bytes)
      header = fail(Errc::corrupt, "pack {} ends inside the entry at {}", pack.id, at);
    if (!header) {
      wrong(header.error());
      break;
    }
    auto body = co_await volume.store().read(pack.id, at + pack_header_bytes, header->body_bytes,
                                             ReadFrom::local);
    if (!body) co_return fail(body.error());
    ChunkId id;
    id.bytes = header->id.bytes;
    auto opened = co_await volume.runtime().blocking([&]() -> Result<void> {
      if (header->type != EntryType::chunk) {
        TRY_VOID(open_entry_body(volume.keys().metadata, pack.id, at, *header, *body));
        return {};
      }
      TRY(Buffer plain, open_chunk(volume.keys().chunks, id, header->codec, header->plain_bytes, *body));
      if (volume.keys().chunks.id(plain) != id)
        return fail(Errc::corrupt, "pack {}: chunk {} at {} is another chunk", pack.id, id, at);
      return {};
    });
    if (!opened) wrong(opened.error().during(fmt::format("pack {} at {}", pack.id, at)));
    if (auto place = expected.chunks.find(at); opened && place != expected.chunks.end()) {
      const ChunkPlace& want = place->second;
      if (want.id == id && want.body_bytes == header->body_bytes &&
          want.plain_bytes == header->plain_bytes && want.codec == header->codec)
        expected.chunks.erase(place);
    }
    at += pack_header_bytes + header->body_bytes;
  }
  for (const auto& [offset, place] : expected.chunks) damaged.push_back(place.id);
  if (!first && !damaged.empty())
    first = Error{Errc::corrupt, fmt::format("pack {} does not hold chunk {} where it should",
                                             pack.id, damaged.front())};
  if (first) co_return fail(*first);
  co_return Result<void>{};
}

Task<Result<std::vector<Finding>>> VolumeImpl::check(bool deep) {
  std::function<Result<std::vector<Finding>>(Connected&)> index =
      [](Connected& db) -> Result<std::vector<Finding>> {
    Checker checker{db, {}};
    TRY_VOID(check_tree(checker));
    TRY_VOID(check_contents(checker));
    TRY_VOID(check_packs(checker));
    return std::move(checker.findings);
  };
  CO_TRY(auto findings, co_await database_.read_for<std::vector<Finding>>(std::move(index)));

  for (const PackInfo& pack : store_->list()) {
    if (!pack.local) continue;
    if (!deep) {
      // The last byte is there; whether they are right only a deep check can tell.
      auto last = co_await store_->read(pack.id, pack.length - 1, 1, ReadFrom::local);
      if (!last) findings.push_back({last.error().message, "", true, pack.id});
      continue;
    }
    std::function<Result<Expected>(Connected&)> look = [sequence = pack.sequence](Connected& db) {
      return expected_in(db, sequence);
    };
    CO_TRY(Expected expected, co_await database_.read_for<Expected>(std::move(look)));
    if (!store_->find(pack.id)) continue;  // rewritten meanwhile
    std::vector<ChunkId> damaged;
    auto done = co_await check_pack(*this, pack, std::move(expected), damaged);
    if (done || !store_->find(pack.id)) continue;
    Finding finding{done.error().message, "", true, pack.id};
    if (!damaged.empty()) {
      std::function<Result<std::string>(Connected&)> who = [id = damaged.front()](Connected& db) {
        return file_using(db, id);
      };
      CO_TRY(finding.path, co_await database_.read_for<std::string>(std::move(who)));
    }
    findings.push_back(std::move(finding));
  }
  co_return findings;
}

Task<Result<std::vector<Finding>>> VolumeImpl::mend(bool deep) {
  CO_TRY(auto findings, co_await check(deep));
  bool index = false;
  for (Finding& finding : findings) {
    if (!finding.pack) {
      index = true;
      continue;
    }
    auto whole = co_await store_->make_whole(*finding.pack);
    finding.mended = whole.has_value();
    if (!whole) finding.what += fmt::format("; it could not be mended: {}", whole.error().message);
  }
  if (!index) co_return findings;
  CO_TRY_VOID(co_await database_.write([](Connected& db) -> Result<void> {
    TRY_VOID(db.execute(
        "INSERT OR IGNORE INTO orphans SELECT DISTINCT content FROM extents WHERE content NOT IN "
        "(SELECT content FROM inodes);"
        "UPDATE inodes SET links = CASE WHEN mode & 61440 = 16384 THEN 2 + (SELECT count(*) FROM "
        "dirents d JOIN inodes c ON c.inode = d.inode WHERE d.parent = inodes.inode AND "
        "c.mode & 61440 = 16384) ELSE links END;"
        "UPDATE inodes SET links = n.n FROM (SELECT inode, count(*) AS n FROM dirents GROUP BY inode) "
        "AS n WHERE n.inode = inodes.inode AND inodes.mode & 61440 <> 16384;"));
    return recount_uses(db);
  }));
  orphaned_.set();
  CO_TRY(const auto left, co_await check(false));
  std::set<std::string> still;
  for (const Finding& finding : left) still.insert(finding.what);
  for (Finding& finding : findings)
    if (!finding.pack) finding.mended = !still.contains(finding.what);
  co_return findings;
}

}  // namespace spatter
