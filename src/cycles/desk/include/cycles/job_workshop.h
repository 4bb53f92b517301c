// What is done for a job at the asker's own machine, before its pieces are given out and after they have come back: a
// video is cut, its sound is made, and the pieces are put together. By sandboxed tools in a real server, in virtual
// time in the simulator.
//
// All calls on the executor. Cancelled (asio's cancellation): nothing of it runs any more when it has ended. Files are
// on the Runtime's disk, below the job's folder; done again, say after a restart, a call makes the same again.
#pragma once

#include <string>
#include <vector>

#include "base/runtime.h"
#include "cycles/speed_book.h"

namespace spatter {

struct JobPiece {
  std::string name;          ///< of its output, below the job's output folder
  std::string path;          ///< of its input in the volume; empty: none
  std::uint64_t offset = 0;  ///< the part of it
  std::uint64_t bytes = 0;
  bool local = false;        ///< `path` is below the job's folder on this server's disk
  std::uint64_t fuel = 0;    ///< that it will take; 0: not known
  std::string work;          ///< a serialized wire::TranscodeWork, for pieces of different kinds; empty: as the job says
};

class JobWorkshop {
 public:
  struct Split {
    WorkKind kind;
    std::vector<JobPiece> pieces;          ///< local
    std::uint64_t fuel_max = 0, memory_bytes_max = 0, output_bytes_max = 0;  ///< of one piece
    std::string plan;                      ///< what the other two need to know
  };
  struct Output {
    std::string path;
    std::uint64_t fuel = 0;                ///< that was counted for it: nobody has looked yet whether the file is like that
  };
  struct Made {
    std::string name;   ///< below the job's output folder
    std::string path;
    std::uint64_t bytes = 0;
  };

  virtual ~JobWorkshop() = default;
  /// Whether it makes that; the error says what it does make.
  virtual Result<void> can_make(const std::string& target) const = 0;
  /// Of FOLDER/source, which was called `name`. Errors: unavailable, no_space and io may pass; all else is about
  /// the source.
  virtual Task<Result<Split>> split(std::string target, std::string name, std::string folder) = 0;
  /// What goes on while the pieces are computed; needs FOLDER/source.
  virtual Task<Result<void>> beside(std::string folder, std::string plan) = 0;
  /// `outputs`: what the pieces came to, in their order. Errors: invalid and corrupt, they are not what they should be.
  virtual Task<Result<std::vector<Made>>> join(std::string folder, std::string plan, std::vector<Output> outputs) = 0;
};

}  // namespace spatter
