// What k6 has beside the language and @types/k6 does not name; the DOM's types would bring much
// that k6 has not.
declare const console: Record<"log" | "info" | "warn" | "error", (...words: unknown[]) => void>;
