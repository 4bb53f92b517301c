// Requests about jobs and about what this server gives of its processor.
#pragma once

#include "control_connection.h"
#include "node/server.h"

namespace spatter::doors {

/// "job_run": the module is the first descriptor; "name", "args", "inputs" (paths in the volume), "split",
/// "output", limits. Answers with the job's id and its number of pieces.
Task<Result<Json>> answer_job_run(Runtime& runtime, Server& server, const Json& request, const std::vector<int>& files);
/// "job_transcode": "video" (a file of the volume), "to" (h264-720p, vp9 or hls-ladder), "output". Answers with the job's
/// id at once; how many pieces it has is known when the video has been cut.
Task<Result<Json>> answer_job_transcode(Server& server, const Json& request);
/// "jobs": all of them, newest first; with "job" (the first digits of an id) one, with its pieces.
Task<Result<Json>> answer_jobs(Server& server, const Json& request);
/// "job_remove": with "job" that one, else all that have ended. Answers with "removed", how many.
Task<Result<Json>> answer_job_remove(Server& server, const Json& request);
Task<Result<Json>> answer_job_cancel(Server& server, const Json& request);
/// "job_watch": {"event": "job", ...} at once and after changes, until the job has ended or the caller hangs up.
Task<Result<Json>> answer_job_watch(Runtime& runtime, Server& server, ControlConnection& connection, const Json& request);

}  // namespace spatter::doors
