"""The OSS side of the sandbox: buckets and objects, signed requests, XML answers, strict as the real one."""
