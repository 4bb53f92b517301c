#include "stratum_session.h"

#include <algorithm>
#include <bit>

#include "printable.h"

namespace spatter::mining {
namespace {

constexpr std::uint32_t version_mask_wanted = 0x1fffe000;  // BIP 320
constexpr std::size_t outbox_bytes_max = 64 << 10;
constexpr std::size_t pending_shares_max = 64;
constexpr std::size_t valid_jobs_max = 16;
constexpr unsigned rubbish_max = 20, warnings_max = 20;
constexpr unsigned answer_s_max = 30, share_answer_s_max = 60, silence_s_max = 600;
constexpr unsigned useful_s = 60;
/// Below, shares would come faster than they can be told; above, none would ever come.
constexpr double difficulty_least = 1e-7, difficulty_most = 1e20;

bool is_stale(const PoolRefusal& refusal) {
  // 21 is "job not found", and what people call stale.
  if (refusal.code == 21) return true;
  std::string reason = refusal.reason;
  std::ranges::transform(reason, reason.begin(), [](unsigned char c) { return std::tolower(c); });
  return reason.find("stale") != std::string::npos ||
         reason.find("job not found") != std::string::npos;
}

bool same_host(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

}  // namespace

StratumClient::Session::Session(StratumClient& client, std::unique_ptr<PoolLink> link,
                                bool ask_versions)
    : client_(client),
      runtime_(client.runtime_),
      status_(client.status_),
      link_(std::move(link)),
      ask_versions_(ask_versions),
      outgoing_(runtime_.executor()),
      extranonce2_first_(runtime_.chance().next_u64()) {}

template <class... Args>
void StratumClient::Session::warn(fmt::format_string<Args...> format, Args&&... args) {
  if (warnings_ >= warnings_max) return;
  runtime_.log().warning("pool {}: {}", status_.pool.text(),
                         fmt::format(format, std::forward<Args>(args)...));
  if (++warnings_ == warnings_max)
    runtime_.log().warning("pool {}: no more warnings about this connection", status_.pool.text());
}

Task<void> StratumClient::Session::run() {
  using namespace asio::experimental::awaitable_operators;
  if (ask_versions_) send(configure_line(ask(Asked::configure), version_mask_wanted));
  send(subscribe_line(ask(Asked::subscribe), client_.options_.agent));
  std::exception_ptr cancelled;
  try {
    co_await (read() || write() || watch());
  } catch (const asio::multiple_exceptions& all) {
    cancelled = all.first_exception();
  } catch (...) {
    cancelled = std::current_exception();
  }
  for (const auto& [id, pending] : pending_)
    if (pending.asked == Asked::share) ++status_.unanswered;
  if (cancelled) std::rethrow_exception(cancelled);
  end_.useful |= mined_s_ >= useful_s;
}

std::uint64_t StratumClient::Session::ask(Asked asked, double difficulty) {
  pending_[next_id_] = {asked, difficulty, awake_s_};
  return next_id_++;
}

void StratumClient::Session::send(std::string line) {
  outbox_ += line;
  outgoing_.set();
}

Task<void> StratumClient::Session::read() {
  std::string buffer;
  while (true) {
    auto bytes = co_await link_->receive();
    if (!bytes) {
      end_.reason = bytes.error().message;
      co_return;
    }
    last_line_s_ = awake_s_;
    buffer += *bytes;
    std::size_t begin = 0;
    for (std::size_t end; (end = buffer.find('\n', begin)) != std::string::npos; begin = end + 1) {
      std::string_view line(buffer.data() + begin, end - begin);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty()) continue;
      if (auto handled = receive(line); !handled) {
        end_.reason = handled.error().message;
        co_return;
      }
    }
    buffer.erase(0, begin);
    if (buffer.size() > pool_line_bytes_max) {
      end_.reason = fmt::format("the pool sent a line of more than {} bytes", pool_line_bytes_max);
      co_return;
    }
  }
}

Task<void> StratumClient::Session::write() {
  while (true) {
    co_await outgoing_.wait();
    outgoing_.reset();
    auto sent = co_await link_->send(std::exchange(outbox_, {}));
    if (!sent) {
      end_.reason = sent.error().message;
      co_return;
    }
  }
}

Task<void> StratumClient::Session::watch() {
  while (true) {
    co_await awake_sleep(runtime_, std::chrono::seconds(1));
    ++awake_s_;
    if (work_) ++mined_s_;
    if (auto in_time = check_times(); !in_time) {
      end_.reason = in_time.error().message;
      co_return;
    }
  }
}

Result<void> StratumClient::Session::check_times() {
  for (auto at = pending_.begin(); at != pending_.end();) {
    const unsigned waited_s = awake_s_ - at->second.asked_s;
    switch (at->second.asked) {
      case Asked::subscribe:
      case Asked::authorize:
        if (waited_s >= answer_s_max)
          return fail(Errc::timeout, "the pool did not answer {} for {} seconds",
                      at->second.asked == Asked::subscribe ? "mining.subscribe" : "mining.authorize",
                      answer_s_max);
        break;
      case Asked::share:
        if (waited_s >= share_answer_s_max) {
          ++status_.unanswered;
          at = pending_.erase(at);
          continue;
        }
        break;
      default:
        break;
    }
    ++at;
  }
  if (awake_s_ - last_line_s_ >= silence_s_max)
    return fail(Errc::timeout, "the pool said nothing for {} minutes", silence_s_max / 60);
  if (outbox_.size() > outbox_bytes_max)
    return fail(Errc::busy, "the pool does not read what it is sent");
  return {};
}

Result<void> StratumClient::Session::receive(std::string_view line) {
  auto message = parse_pool_line(line);
  if (!message) {
    warn("not understood: {}", message.error().message);
    if (++rubbish_ >= rubbish_max)
      return fail(Errc::invalid, "the pool sent {} lines that are no Stratum, the last: {}", rubbish_max,
                  message.error().message);
    return {};
  }
  TRY_VOID(std::visit([this](auto& what) { return on(std::move(what)); }, *message));
  if (outbox_.size() > outbox_bytes_max)
    return fail(Errc::busy, "the pool does not read what it is sent");
  return {};
}

Result<void> StratumClient::Session::on(PoolJob job) {
  if (!extranonce_) {
    warn("a job before the subscription was answered; passed over");
    return {};
  }
  if (auto block = target_of_bits(job.bits); !block) {
    warn("job \"{}\" passed over: {}", printable(job.id, 40), block.error().message);
    return {};
  }
  auto work = std::make_shared<MiningWork>();
  work->serial = client_.next_serial_++;
  work->extranonce = *extranonce_;
  work->extranonce2_first = extranonce2_first_;
  work->version_mask = version_mask_;
  work->difficulty = difficulty_;
  work->received = runtime_.now();
  if (job.clean) valid_.clear();
  if (valid_.size() == valid_jobs_max) valid_.pop_front();
  valid_.push_back(work->serial);
  status_.network_bits = job.bits;
  work->job = std::move(job);
  offer(std::move(work));
  return {};
}

void StratumClient::Session::offer(std::shared_ptr<MiningWork> work) {
  work->target = target_of_difficulty(work->difficulty);
  status_.difficulty = work->difficulty;
  status_.state = PoolState::mining;
  work_ = std::move(work);
  client_.on_work_(work_);
}

void StratumClient::Session::rework() {
  if (!work_) return;
  auto work = std::make_shared<MiningWork>(*work_);
  work->difficulty = difficulty_;
  offer(std::move(work));
}

Result<void> StratumClient::Session::on(const PoolDifficulty& message) {
  if (message.difficulty < difficulty_least || message.difficulty > difficulty_most) {
    warn("a difficulty of {:g} makes no sense; it stays at {:g}", message.difficulty, difficulty_);
    return {};
  }
  difficulty_ = message.difficulty;
  // From the next job on, by the protocol. But some pools mean at once, and shares that are too good are
  // refused by nobody. And a first job may have come a moment before the first difficulty.
  if (work_ && (difficulty_ > work_->difficulty || !difficulty_set_)) rework();
  difficulty_set_ = true;
  return {};
}

Result<void> StratumClient::Session::on(Extranonce message) {
  if (!extranonce_) {
    warn("mining.set_extranonce before the subscription was answered; passed over");
    return {};
  }
  extranonce_ = std::move(message);
  return {};
}

Result<void> StratumClient::Session::on(const VersionMask& message) {
  if (!ask_versions_) return {};
  version_mask_ = message.mask & version_mask_wanted;
  status_.rolls_versions = version_mask_ != 0;
  return {};
}

Result<void> StratumClient::Session::on(const PoolRedirect& message) {
  const std::string& host = client_.options_.pool.host;
  if (!message.host.empty() && !same_host(message.host, host)) {
    warn("it wants us to go to {}: refused, for whoever can change a line on the way could take the work "
         "there; only {} is connected to",
         printable(message.host, 100), host);
    return {};
  }
  end_.redirect = message;
  return fail(Errc::unavailable, "the pool asked to connect anew{}",
              message.port ? fmt::format(" at port {}", *message.port) : "");
}

Result<void> StratumClient::Session::on(const PoolNotice& message) {
  warn("it says: {}", message.text);
  return {};
}

Result<void> StratumClient::Session::on(const PoolRequest& message) {
  send(answer_line(message, client_.options_.agent));
  return {};
}

Result<void> StratumClient::Session::on(const PoolUnknown& message) {
  runtime_.log().debug("pool {}: {} is not known here", status_.pool.text(), message.method);
  return {};
}

Result<void> StratumClient::Session::on(const PoolAnswer& message) {
  const auto found = pending_.find(message.id);
  if (found == pending_.end()) return {};  // given up on, or never asked: nothing depends on it
  const Pending pending = found->second;
  pending_.erase(found);
  switch (pending.asked) {
    case Asked::configure:
      on_configured(message);
      break;
    case Asked::subscribe:
      return on_subscribed(message);
    case Asked::authorize:
      return on_authorized(message);
    case Asked::extranonce:
      break;  // whether it will ever change the extra nonce is the pool's affair
    case Asked::share:
      on_share_answered(pending, message);
      break;
  }
  return {};
}

void StratumClient::Session::on_configured(const PoolAnswer& answer) {
  const auto mask = version_mask_of(answer);
  if (!mask)
    runtime_.log().info("pool {}: versions do not roll: {}", status_.pool.text(),
                        mask.error().message);
  else
    static_cast<void>(on(*mask));
}

Result<void> StratumClient::Session::on_subscribed(const PoolAnswer& answer) {
  auto extranonce = extranonce_of(answer);
  if (!extranonce)
    return fail(Errc::invalid, "the subscription failed: {}", extranonce.error().message);
  end_.subscribed = true;
  extranonce_ = std::move(*extranonce);
  status_.state = PoolState::no_job;
  send(authorize_line(ask(Asked::authorize), client_.options_.user, client_.options_.password));
  return {};
}

Result<void> StratumClient::Session::on_authorized(const PoolAnswer& answer) {
  if (!answer.refusal && answer.result == true) {
    runtime_.log().info("pool {}: connected", status_.pool.text());
    send(extranonce_subscribe_line(ask(Asked::extranonce)));
    return {};
  }
  end_.refused = true;
  return fail(Errc::denied, "the pool does not accept the user \"{}\"{}{}",
              printable(client_.options_.user), answer.refusal ? ": " : "",
              answer.refusal ? answer.refusal->reason : "");
}

void StratumClient::Session::submit(const Share& share) {
  const Uint256 hash = number_of(share.hash);
  status_.best_difficulty = std::max(status_.best_difficulty, difficulty_of(hash));
  const bool job_is_valid = std::ranges::find(valid_, share.work->serial) != valid_.end();
  // work_ has the difficulty in force, which may have risen since the share's search began.
  if (!job_is_valid ||
      (share.work->serial == work_->serial && hash > work_->target)) {
    ++status_.stale;
    return;
  }
  const auto shares = std::ranges::count_if(
      pending_, [](const auto& entry) { return entry.second.asked == Asked::share; });
  if (static_cast<std::size_t>(shares) >= pending_shares_max) {
    ++status_.dropped;
    return;
  }
  if (hash <= target_of_bits(share.work->job.bits).value()) {
    ++status_.blocks;
    runtime_.log().info("pool {}: share {} is a block", status_.pool.text(), hash.hex());
  }
  const std::uint32_t mask = share.work->version_mask;
  SubmitParams params{client_.options_.user, share.work->job.id, share.extranonce2, share.time,
                      share.nonce, {}};
  if (mask != 0) params.version_bits = share.version & mask;
  send(submit_line(ask(Asked::share, share.work->difficulty), params));
}

void StratumClient::Session::on_share_answered(const Pending& pending, const PoolAnswer& answer) {
  if (!answer.refusal && answer.result == true) {
    ++status_.accepted;
    status_.accepted_difficulty += pending.difficulty;
    end_.useful = true;
    return;
  }
  const PoolRefusal refusal = answer.refusal.value_or(PoolRefusal{0, "no reason given"});
  if (is_stale(refusal)) {
    ++status_.stale;
    return;
  }
  ++status_.rejected;
  status_.last_reason = refusal.reason;
  warn("a share was rejected: {}", refusal.reason);
}

}  // namespace spatter::mining
