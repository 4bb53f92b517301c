// What this machine could do: the cost of every part that a `put` and a `get` consist of, each
// measured alone and with the program's own functions, and from those costs the least time in which
// any program could store B bytes of which three copies' worth go to other servers, when all the
// servers run on this one machine.
//
// Everything is in seconds of processor time per GB (10^9 bytes) that goes through the part:
//
//   chunk   cutting into content-defined chunks
//   id      the keyed hash that names a chunk
//   seal    AES-256-GCM with a key of its own per chunk         (open: the way back)
//   encode  (k, 3k): per byte of plain data, 2 coded bytes made (decode: all k plain columns from
//           coded ones, the worst case of a read)
//   leaf    SHA-256 of 16 KiB leaves, per byte hashed
//   tls     TLS 1.3 over loopback, 64 KiB a write, both ends together
//   disk    4 MiB writes into the page cache and one fdatasync, per byte written
//   cache   the same without the fdatasync
//
// A put of B bytes does chunk, id, seal and encode once; every one of 3 B shard bytes is leaf-hashed
// by the owner, goes through TLS, is leaf-hashed by the holder and written to disk; the pack is
// written once more. So with C processor cores
//
//   put(B)  = B (chunk + id + seal + encode + 3 (leaf + tls + leaf + disk) + disk) / C
//
// Beside it stands the time the disk alone would need, by the wall,
//
//   disk(B) = 4 B / (bytes per second written and synced)
//
// which is not part of the bound: where others use the disk, it says more about them.
//
// A get of B bytes, read from other servers with all plain columns at hand, reads B bytes of shards
// (from the page cache: that much is counted as nothing), sends them through TLS, checks the leaves,
// opens the chunks and writes the file:
//
//   get(B)  = B (tls + leaf + open + cache) / C
//
// The least time assumes that all cores are busy all the time, so nothing reaches it.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/posix_disk.h"
#include "code/layout.h"
#include "code/stripe_code.h"
#include "crypto/merkle.h"
#include "crypto/sign.h"
#include "crypto/volume_keys.h"
#include "tls_context.h"
#include "userhalf/chunker.h"

namespace spatter {
namespace {

struct Options {
  unsigned k = 6;
  std::size_t mib = 192;
  unsigned rounds = 5;
  unsigned cores = 0;
  double put_gb = 1.073741824;
  std::string folder = ".";
};

double seconds_of(clockid_t clock) {
  timespec now;
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Processor seconds of all threads, and seconds by the wall, that `work` took.
struct Spent {
  double cpu = 0;
  double wall = 0;
};

Spent spent_in(const std::function<void()>& work) {
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double wall = seconds_of(CLOCK_MONOTONIC);
  work();
  return {seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu, seconds_of(CLOCK_MONOTONIC) - wall};
}

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "bench_limits: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T value_of(Result<T> result) {
  if (!result) give_up(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// The memory all parts work in: as many packs as fit, each of k columns of 4 MiB.
class Parts {
 public:
  explicit Parts(const Options& options)
      : k_(options.k), column_(4 << 20), pack_(column_ * k_), packs_(std::max<std::size_t>(1, (options.mib << 20) / pack_)) {
    if (options.mib < 4) column_ = options.mib << 18, pack_ = column_ * k_;
    plain_.resize(pack_ * packs_);
    SeededRandom(1).fill(plain_);
    other_.resize(plain_.size() + (packs_ * pack_ / chunk_bytes_min + 1) * ChunkKeys::overhead);
    columns_.resize(3 * pack_);
  }

  std::size_t bytes() const { return plain_.size(); }

  /// Each part by name; one run of it takes bytes() through.
  std::vector<std::pair<std::string, std::function<void()>>> all(const std::string& folder) {
    return {{"chunk", [this] { chunk(); }},
            {"id", [this] { name(); }},
            {"seal", [this] { seal(); }},
            {"open", [this] { open(); }},
            {"encode", [this] { encode(); }},
            {"decode", [this] { decode(); }},
            {"leaf", [this] { hash_leaves(); }},
            {"tls", [this] { send_over_tls(); }},
            {"disk", [this, folder] { write_disk(folder, true); }},
            {"cache", [this, folder] { write_disk(folder, false); }}};
  }

 private:
  static constexpr std::size_t chunk_size = chunk_bytes_average;

  void each_chunk(const std::function<void(std::size_t at, std::size_t size)>& what) {
    for (std::size_t at = 0; at < plain_.size(); at += chunk_size)
      what(at, std::min(chunk_size, plain_.size() - at));
  }

  void chunk() {
    Chunker chunker(gear_);
    ByteView left = plain_;
    while (std::size_t size = chunker.next(left, true)) left = left.subspan(size);
  }

  void name() {
    each_chunk([this](std::size_t at, std::size_t size) { id_ = keys_.id(ByteView(plain_).subspan(at, size)); });
  }

  void seal() {
    std::size_t out = 0;
    each_chunk([&](std::size_t at, std::size_t size) {
      keys_.seal(id_, ChunkForm::plain, ByteView(plain_).subspan(at, size),
                 MutableBytes(other_).subspan(out, size + ChunkKeys::overhead));
      out += size + ChunkKeys::overhead;
    });
    sealed_ = true;
  }

  void open() {
    if (!sealed_) seal();
    std::size_t in = 0;
    each_chunk([&](std::size_t, std::size_t size) {
      value_of(keys_.open(id_, ChunkForm::plain, ByteView(other_).subspan(in, size + ChunkKeys::overhead),
                          MutableBytes(columns_).first(size)));
      in += size + ChunkKeys::overhead;
    });
  }

  std::vector<std::uint8_t*> column_pointers(unsigned first, unsigned count) {
    std::vector<std::uint8_t*> result;
    for (unsigned i = 0; i < count; ++i) result.push_back(columns_.data() + (first + i) * column_);
    return result;
  }

  void encode() {
    const Layout layout(k_, pack_);
    const auto shards = column_pointers(0, 3 * k_);
    for (std::size_t i = 0; i < packs_; ++i)
      encode_stripe(code_, layout, ByteView(plain_).subspan(i * pack_, pack_), shards);
  }

  void decode() {
    std::vector<unsigned> have, want;
    for (unsigned i = 0; i < k_; ++i) have.push_back(k_ + i), want.push_back(i);
    const Rebuild rebuild = value_of(code_.rebuild(have, want));
    const auto in = column_pointers(k_, k_);
    const std::vector<const std::uint8_t*> sources(in.begin(), in.end());
    const auto out = column_pointers(0, k_);
    for (std::size_t i = 0; i < packs_; ++i) rebuild.run(sources, out, column_);
  }

  void hash_leaves() {
    for (std::size_t at = 0; at < plain_.size(); at += column_)
      (void)leaf_hashes(ByteView(plain_).subspan(at, column_));
  }

  void send_over_tls();
  void write_disk(const std::string& folder, bool sync) {
    auto disk = value_of(PosixDisk::open(folder));
    const std::string path = fmt::format("bench-limits-{}", ::getpid());
    auto file = value_of(disk->open(path, OpenMode::create));
    for (std::size_t at = 0; at < plain_.size(); at += column_)
      value_of(file->write_at(at, ByteView(plain_).subspan(at, column_)));
    if (sync) value_of(file->sync());
    file.reset();
    value_of(disk->remove(path));
  }

  unsigned k_;
  std::size_t column_, pack_, packs_;
  Bytes plain_, other_, columns_;
  bool sealed_ = false;
  ChunkId id_;
  GearTable gear_{Key()};
  ChunkKeys keys_ = VolumeKeys::derive(PersonSecret::from_bytes(Key()), VolumeId{}).chunks;
  StripeCode code_ = value_of(StripeCode::make(k_, 3 * k_));
};

/// Two connected TCP sockets on loopback.
std::pair<int, int> tcp_pair() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const int dialling = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::bind(listener, generic, size) != 0 || ::listen(listener, 1) != 0 ||
      ::getsockname(listener, generic, &size) != 0 || ::connect(dialling, generic, size) != 0)
    give_up("can't connect over loopback");
  const int accepted = ::accept(listener, nullptr, nullptr);
  ::close(listener);
  const int yes = 1;
  ::setsockopt(dialling, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return {dialling, accepted};
}

void Parts::send_over_tls() {
  constexpr std::size_t piece = 64 << 10;
  const SigningKey key = SigningKey::from_seed(Key());
  const auto context = value_of(make_tls_context(key));
  const auto [near, far] = tcp_pair();
  PeerProof near_proof, far_proof;
  SslPointer sender(SSL_new(context.get())), receiver(SSL_new(context.get()));
  SSL_set_app_data(sender.get(), &near_proof);
  SSL_set_app_data(receiver.get(), &far_proof);
  SSL_set_fd(receiver.get(), far);
  // Records are collected, so that one call into the kernel takes all of a piece.
  BIO* socket = BIO_new_socket(near, BIO_NOCLOSE);
  BIO* collected = BIO_push(BIO_new(BIO_f_buffer()), BIO_new_socket(near, BIO_NOCLOSE));
  BIO_set_write_buffer_size(collected, 80 << 10);
  SSL_set_bio(sender.get(), socket, collected);

  std::thread reading([&] {
    if (SSL_accept(receiver.get()) != 1) give_up("the TLS handshake failed: " + openssl_reason());
    std::size_t got = 0, n = 0;
    while (got < plain_.size() && SSL_read_ex(receiver.get(), columns_.data(), piece, &n) == 1) got += n;
    if (got != plain_.size()) give_up("TLS broke off");
  });
  if (SSL_connect(sender.get()) != 1) give_up("the TLS handshake failed: " + openssl_reason());
  for (std::size_t at = 0, n = 0; at < plain_.size(); at += n) {
    if (SSL_write_ex(sender.get(), plain_.data() + at, std::min(piece, plain_.size() - at), &n) != 1 ||
        BIO_flush(collected) != 1)
      give_up("TLS broke off");
  }
  reading.join();
  ::close(near);
  ::close(far);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

nlohmann::json measure(const Options& options) {
  Parts parts(options);
  auto all = parts.all(options.folder);
  std::map<std::string, std::vector<double>> cpu, wall;
  for (unsigned round = 0; round <= options.rounds; ++round)
    for (auto& [name, part] : all) {
      const Spent spent = spent_in(part);
      if (round == 0) continue;  // memory touched, caches and files met for the first time
      cpu[name].push_back(spent.cpu / static_cast<double>(parts.bytes()) * 1e9);
      wall[name].push_back(spent.wall / static_cast<double>(parts.bytes()) * 1e9);
    }

  nlohmann::json costs;
  std::map<std::string, double> c;
  for (auto& [name, values] : cpu) {
    c[name] = median(values);
    costs[name] = {{"cpu_s_per_gb", c[name]}, {"wall_s_per_gb", median(wall[name])}};
  }
  const double cores = options.cores ? options.cores : std::thread::hardware_concurrency();
  const double gb = options.put_gb;
  const double once = c["chunk"] + c["id"] + c["seal"] + c["encode"];
  const double put_cpu = gb * (once + 3 * (2 * c["leaf"] + c["tls"] + c["disk"]) + c["disk"]);
  const double put_disk = gb * 4 * median(wall["disk"]);
  const double get_cpu = gb * (c["tls"] + c["leaf"] + c["open"] + c["cache"]);
  return {{"k", options.k},
          {"n", 3 * options.k},
          {"cores", cores},
          {"bytes_per_round", parts.bytes()},
          {"rounds", options.rounds},
          {"kernel", std::string(to_string(fastest_kernel()))},
          {"sha256", std::string(to_string(sha256_lanes_chosen()))},
          {"costs", costs},
          {"put",
           {{"gb", gb},
            {"cpu_s", put_cpu},
            {"bound_s", put_cpu / cores},
            {"disk_s", put_disk}}},
          {"get", {{"gb", gb}, {"cpu_s", get_cpu}, {"bound_s", get_cpu / cores}}}};
}

}  // namespace
}  // namespace spatter

int main(int argc, char** argv) {
  spatter::Options options;
  CLI::App app("What each part of a put costs on this machine, and the least time of a put from it");
  app.add_option("--k", options.k, "Plain columns of a stripe; 3k are made")->check(CLI::Range(1, 85))->capture_default_str();
  app.add_option("--mib", options.mib, "How much goes through each part in one round")->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--rounds", options.rounds, "Rounds, of which the median counts")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--cores", options.cores, "Cores the bound is for; 0: all of this machine")->capture_default_str();
  app.add_option("--put-gb", options.put_gb, "GB (10^9) stored in the put the bound is for")->capture_default_str();
  app.add_option("--folder", options.folder, "Where to measure the disk")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::printf("%s\n", spatter::measure(options).dump(2).c_str());
}
