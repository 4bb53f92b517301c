// One connection to a pool, from dialling to its end.
#pragma once

#include <deque>
#include <map>

#include "base/sync.h"
#include "cycles/stratum.h"

namespace spatter::mining {

class StratumClient::Session {
 public:
  Session(StratumClient& client, std::unique_ptr<PoolLink> link, bool ask_versions);

  /// Returns when the connection is of no more use; end() then says why.
  Task<void> run();

  void submit(const Share& share);

  struct End {
    std::string reason;
    bool subscribed = false;  ///< the pool answered at all
    bool useful = false;      ///< a share was accepted, or a minute was mined
    bool refused = false;     ///< the user was
    std::optional<PoolRedirect> redirect;
  };
  const End& end() const { return end_; }

 private:
  enum class Asked { configure, subscribe, authorize, extranonce, share };
  struct Pending {
    Asked asked;
    double difficulty = 0;        ///< of a share
    unsigned asked_s = 0;         ///< by awake_s_
  };

  Task<void> read();
  Task<void> write();
  Task<void> watch();
  Result<void> check_times();

  std::uint64_t ask(Asked asked, double difficulty = 0);
  void send(std::string line);

  /// An error ends the connection.
  Result<void> receive(std::string_view line);
  Result<void> on(PoolJob job);
  Result<void> on(const PoolDifficulty& message);
  Result<void> on(Extranonce message);
  Result<void> on(const VersionMask& message);
  Result<void> on(const PoolRedirect& message);
  Result<void> on(const PoolNotice& message);
  Result<void> on(const PoolRequest& message);
  Result<void> on(const PoolUnknown& message);
  Result<void> on(const PoolAnswer& message);
  Result<void> on_subscribed(const PoolAnswer& answer);
  Result<void> on_authorized(const PoolAnswer& answer);
  void on_configured(const PoolAnswer& answer);
  void on_share_answered(const Pending& pending, const PoolAnswer& answer);

  void offer(std::shared_ptr<MiningWork> work);
  void rework();  ///< the present job under the present difficulty
  /// A warning, of which a connection has only so many.
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args);

  StratumClient& client_;
  Runtime& runtime_;
  PoolStatus& status_;
  std::unique_ptr<PoolLink> link_;
  bool ask_versions_;
  End end_;

  std::string outbox_;
  Event outgoing_;
  std::map<std::uint64_t, Pending> pending_;
  std::uint64_t next_id_ = 1;

  std::optional<Extranonce> extranonce_;  ///< for the next job
  std::uint64_t extranonce2_first_;
  std::uint32_t version_mask_ = 0;
  double difficulty_ = 1;                 ///< for the next job
  bool difficulty_set_ = false;
  std::shared_ptr<const MiningWork> work_;
  std::deque<std::uint64_t> valid_;       ///< serials of the jobs whose shares are still wanted

  unsigned awake_s_ = 0;        ///< seconds that this process ran since the connection was made
  unsigned last_line_s_ = 0;
  unsigned mined_s_ = 0;
  unsigned rubbish_ = 0;
  unsigned warnings_ = 0;
};

}  // namespace spatter::mining
