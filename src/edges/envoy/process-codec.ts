import { decodeProcessingRequest } from "./process-decode.ts";
import { encodeProcessingResponse } from "./process-encode.ts";
import { externalProcessorService } from "./protos.ts";

/**
 * ext_proc with codecs of its own, because every call has several of these messages: they read what inspection uses and
 * step over the rest. On the wire it is the same as `externalProcessorService`.
 */
export const processService = {
  Process: {
    ...externalProcessorService.Process,
    requestDeserialize: decodeProcessingRequest,
    responseSerialize: encodeProcessingResponse,
  },
};
